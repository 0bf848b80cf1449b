//! What a request says and what is made of it before an endpoint sees it, and the answers that we give ourselves.

pub(crate) mod admit;
pub(crate) mod assign;
pub(crate) mod fields;
pub(crate) mod gate;
pub(crate) mod grpc;
pub(crate) mod headers;
pub(crate) mod hold;
pub(crate) mod normalize;
pub(crate) mod origin;
pub(crate) mod redirect;
pub(crate) mod respond;
pub(crate) mod size;
pub(crate) mod upload;
