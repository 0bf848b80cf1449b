//! How a gRPC call ended, and what that says of the endpoint that answered.
//!
//! A code counts as the endpoint's failure where its HTTP counterpart does (google.rpc.Code, the mapping that Envoy judges
//! by as well): `UNKNOWN`, `INTERNAL` and `DATA_LOSS` are 500, `UNAVAILABLE` is 503, `DEADLINE_EXCEEDED` is 504. It is the
//! same list as linkerd's. `UNIMPLEMENTED` is 501 and not in it: any client can ask for a method that is not there.
//! `RESOURCE_EXHAUSTED` is 429, and the others are 4xx: whoever asks can bring them about.
//!
//! One exception is not decided here: `DEADLINE_EXCEEDED`, or whatever else goes wrong, when the time that the client itself
//! had given was running out. Else a client that gives a millisecond could make any version look bad.

/// The code that a gRPC call ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GrpcCode {
    /// All is well.
    Ok = 0,
    /// Given up, most likely by the client.
    Cancelled = 1,
    /// An error that says nothing: an exception that nobody caught.
    Unknown = 2,
    /// The request makes no sense.
    InvalidArgument = 3,
    /// Time was up.
    DeadlineExceeded = 4,
    /// What was asked for is not there.
    NotFound = 5,
    /// What was to be made is there already.
    AlreadyExists = 6,
    /// The client may not.
    PermissionDenied = 7,
    /// A quota is used up.
    ResourceExhausted = 8,
    /// Not in this state.
    FailedPrecondition = 9,
    /// Another got in between.
    Aborted = 10,
    /// Beyond the end.
    OutOfRange = 11,
    /// There is no such method.
    Unimplemented = 12,
    /// Something is broken.
    Internal = 13,
    /// Not now.
    Unavailable = 14,
    /// Data is lost.
    DataLoss = 15,
    /// Nobody knows who asks.
    Unauthenticated = 16,
}

impl GrpcCode {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// What the field `grpc-status` says. What is none of the codes reads as `UNKNOWN`, as clients read it.
    pub fn parse(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<usize>().ok());
        number.and_then(|number| Self::ALL.get(number).copied()).unwrap_or(Self::Unknown)
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// Whether it is the endpoint's failure.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Unknown | Self::DeadlineExceeded | Self::Internal | Self::Unavailable | Self::DataLoss => {
                true
            }
            Self::Ok
            | Self::Cancelled
            | Self::InvalidArgument
            | Self::NotFound
            | Self::AlreadyExists
            | Self::PermissionDenied
            | Self::ResourceExhausted
            | Self::FailedPrecondition
            | Self::Aborted
            | Self::OutOfRange
            | Self::Unimplemented
            | Self::Unauthenticated => false,
        }
    }

    /// Its counterpart in HTTP (google.rpc.Code).
    pub const fn as_http(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }

    /// What clients make of an answer that has this HTTP status and no code
    /// (grpc/doc/http-grpc-status-mapping.md), and what we answer in the place of this status.
    pub const fn of_http(status: u16) -> Self {
        match status {
            400 | 414 | 431 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 => Self::Unimplemented,
            // The mapping is silent on it; it is what a server says to a message that is too large.
            413 => Self::ResourceExhausted,
            429 | 502..=504 => Self::Unavailable,
            499 => Self::Cancelled,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_clients_read_them() {
        for (text, code) in [
            ("0", GrpcCode::Ok),
            ("14", GrpcCode::Unavailable),
            (" 5 ", GrpcCode::NotFound),
            ("17", GrpcCode::Unknown),
            ("-1", GrpcCode::Unknown),
            ("", GrpcCode::Unknown),
            ("OK", GrpcCode::Unknown),
            ("99999999999999999999999", GrpcCode::Unknown),
        ] {
            assert_eq!(GrpcCode::parse(text.as_bytes()), code, "{text:?}");
        }
        assert_eq!(GrpcCode::parse(b"\xff"), GrpcCode::Unknown);
    }

    #[test]
    fn a_code_is_a_failure_where_its_http_counterpart_is_except_501() {
        for code in GrpcCode::ALL {
            let http = code.as_http();
            assert_eq!(code.is_failure(), http >= 500 && http != 501, "{}", code.as_str());
        }
    }

    #[test]
    fn what_clients_bring_about_is_no_failure() {
        let failures: Vec<_> = GrpcCode::ALL.into_iter().filter(|code| code.is_failure()).collect();
        let names: Vec<_> = failures.iter().map(|code| code.as_str()).collect();
        assert_eq!(names, ["UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]);
    }

    #[test]
    fn numbers_and_places_agree() {
        for (place, code) in GrpcCode::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(code.number()), place);
        }
    }
}
