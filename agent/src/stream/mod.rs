//! Order and gaps of one direction of a TCP connection.
