//! What operators do with the command line: the real binary, a real file, the sandbox on loopback.

mod refund;
