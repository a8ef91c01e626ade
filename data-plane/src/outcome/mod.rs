//! What became of a request: in-flight accounting, served endpoint, first token.
