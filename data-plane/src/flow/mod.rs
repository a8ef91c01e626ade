//! Admission: which requests wait, and which are shed.
