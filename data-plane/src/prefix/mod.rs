//! Prefix blocks of prompts.
