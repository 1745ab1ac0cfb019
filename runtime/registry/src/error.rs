use serde_json::json;

use crate::{Response, StorageError};

/// The error codes of the distribution specification, with the HTTP status that carries each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    RangeInvalid,
    TagInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    PaginationInvalid,
    Unknown,
}

impl ErrorCode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::PaginationInvalid => "PAGINATION_NUMBER_INVALID",
            Self::Unknown => "UNKNOWN",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::BlobUnknown | Self::BlobUploadUnknown | Self::ManifestUnknown | Self::NameUnknown => 404,
            Self::Unauthorized => 401,
            Self::Denied => 403,
            Self::Unsupported => 405,
            Self::SizeInvalid => 413,
            Self::RangeInvalid => 416,
            Self::Unknown => 500,
            _ => 400,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::BlobUnknown => "blob unknown to registry",
            Self::BlobUploadInvalid => "blob upload invalid",
            Self::BlobUploadUnknown => "blob upload unknown to registry",
            Self::DigestInvalid => "provided digest did not match uploaded content",
            Self::ManifestBlobUnknown => "blob unknown to registry",
            Self::ManifestInvalid => "manifest invalid",
            Self::ManifestUnknown => "manifest unknown",
            Self::NameInvalid => "invalid repository name",
            Self::NameUnknown => "repository name not known to registry",
            Self::SizeInvalid => "content is larger than this registry accepts",
            Self::RangeInvalid => "invalid content range",
            Self::TagInvalid => "manifest tag did not match URI",
            Self::Unauthorized => "authentication required",
            Self::Denied => "requested access to the resource is denied",
            Self::Unsupported => "The operation is unsupported.",
            Self::PaginationInvalid => "invalid number of results requested",
            Self::Unknown => "unknown error",
        }
    }
}

/// A refusal with its detail.
#[derive(Debug)]
pub(crate) struct Failure {
    code: ErrorCode,
    detail: Option<String>,
}

pub(crate) type Outcome = Result<Response, Failure>;

impl ErrorCode {
    /// A refusal that says what it is about.
    pub(crate) fn about(self, detail: impl Into<String>) -> Failure {
        Failure { code: self, detail: Some(detail.into()) }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self { code, detail: None }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::UnknownUpload => ErrorCode::BlobUploadUnknown.into(),
            StorageError::WrongOffset { .. } => ErrorCode::RangeInvalid.about(error.to_string()),
            StorageError::UnknownBlob(digest) => ErrorCode::BlobUnknown.about(digest),
            StorageError::Body(_) => ErrorCode::BlobUploadInvalid.about(error.to_string()),
            StorageError::Other(_) => ErrorCode::Unknown.about(error.to_string()),
        }
    }
}

impl From<Failure> for Response {
    fn from(failure: Failure) -> Self {
        let mut entry = json!({ "code": failure.code.as_str(), "message": failure.code.message() });
        if let Some(detail) = failure.detail {
            entry["detail"] = detail.into();
        }
        let body = json!({ "errors": [entry] }).to_string();
        Response::new(failure.code.status()).content("application/json; charset=utf-8", body.into())
    }
}
