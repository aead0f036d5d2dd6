//! The only mapping from our errors to gRPC.

use tonic::{Code as GrpcCode, Status};

use crate::kms::{Code, KmsError};

impl From<KmsError> for Status {
    fn from(error: KmsError) -> Self {
        Self::new(grpc_code(error.code), error.message)
    }
}

fn grpc_code(code: Code) -> GrpcCode {
    GrpcCode::from_i32(code as i32)
}

/// Returns gRPC's name of a code, also of those that only tonic uses.
pub(super) fn name(code: GrpcCode) -> &'static str {
    match code {
        GrpcCode::Ok => "OK",
        GrpcCode::Cancelled => "CANCELLED",
        GrpcCode::Unknown => "UNKNOWN",
        GrpcCode::InvalidArgument => "INVALID_ARGUMENT",
        GrpcCode::DeadlineExceeded => "DEADLINE_EXCEEDED",
        GrpcCode::NotFound => "NOT_FOUND",
        GrpcCode::AlreadyExists => "ALREADY_EXISTS",
        GrpcCode::PermissionDenied => "PERMISSION_DENIED",
        GrpcCode::ResourceExhausted => "RESOURCE_EXHAUSTED",
        GrpcCode::FailedPrecondition => "FAILED_PRECONDITION",
        GrpcCode::Aborted => "ABORTED",
        GrpcCode::OutOfRange => "OUT_OF_RANGE",
        GrpcCode::Unimplemented => "UNIMPLEMENTED",
        GrpcCode::Internal => "INTERNAL",
        GrpcCode::Unavailable => "UNAVAILABLE",
        GrpcCode::DataLoss => "DATA_LOSS",
        GrpcCode::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_of_the_codes_are_those_of_grpc() {
        for code in Code::ALL {
            let grpc = format!("{:?}", grpc_code(code)).to_uppercase();
            assert_eq!(code.as_str().replace('_', ""), grpc);
            assert_eq!(name(grpc_code(code)), code.as_str());
        }
    }

    #[test]
    fn every_code_of_grpc_has_its_name() {
        for number in 0..=16 {
            let code = GrpcCode::from_i32(number);
            assert_eq!(name(code).replace('_', ""), format!("{code:?}").to_uppercase());
        }
    }
}
