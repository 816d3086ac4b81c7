//! What arrives: generators and trace readers.
