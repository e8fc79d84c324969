//! What leaves for the providers, to the byte, and what their answers mean.

mod http;
mod smtp;
