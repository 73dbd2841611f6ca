//! What may leave the node: scope, sampling, redaction. The only maker of `Sanitized`.
