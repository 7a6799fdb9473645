//! From a Recording to Features.
