//! Wires everything: the only place that makes threads, channels and clocks.
