//! The one mapping from our errors to gRPC.

use tonic::{Code as GrpcCode, Status};

use crate::kms::{Code, KmsError};

impl From<KmsError> for Status {
    fn from(error: KmsError) -> Self {
        Self::new(grpc_code(error.code), error.message)
    }
}

fn grpc_code(code: Code) -> GrpcCode {
    match code {
        Code::InvalidArgument => GrpcCode::InvalidArgument,
        Code::NotFound => GrpcCode::NotFound,
        Code::PermissionDenied => GrpcCode::PermissionDenied,
        Code::Unauthenticated => GrpcCode::Unauthenticated,
        Code::ResourceExhausted => GrpcCode::ResourceExhausted,
        Code::Unavailable => GrpcCode::Unavailable,
        Code::DeadlineExceeded => GrpcCode::DeadlineExceeded,
        Code::FailedPrecondition => GrpcCode::FailedPrecondition,
        Code::Internal => GrpcCode::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_of_the_codes_are_those_of_grpc() {
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::ResourceExhausted,
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::FailedPrecondition,
            Code::Internal,
        ] {
            let grpc = format!("{:?}", grpc_code(code)).to_uppercase();
            assert_eq!(code.as_str().replace('_', ""), grpc);
        }
    }
}
