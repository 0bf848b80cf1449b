//! The admin API: how things stand, and the verbs, over HTTP.
