//! What a store verb may answer instead of its result.

/// Why a verb did not do its work. Unless it says otherwise, nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such row.
    #[error("no {0}")]
    NotFound(String),
    /// Another executor has claimed the run since: the caller must stop.
    #[error("the lease was taken over")]
    LeaseLost,
    /// The state does not allow it.
    #[error("{0}")]
    Illegal(String),
    /// The database was locked by another process for longer than is waited.
    #[error("the database is busy")]
    Busy,
    /// The disk is full or read-only, or the file cannot be written.
    #[error("the database cannot be written: {0}")]
    Full(String),
    /// The commit failed in a way that leaves open whether it took place: look before acting again.
    #[error("it is unknown whether the commit took place ({0}): look before asking again")]
    CommitUnknown(String),
    /// The server does not answer, or cannot be written at.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The file is damaged, or is no database.
    #[error("the database is damaged: {0}; `discuno db restore` puts a backup in its place and keeps it")]
    Corrupt(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// Anything else the backend said: a bug, or a row that should not be.
    #[error("{0}")]
    Backend(String),
}

/// The word for a commit of which nobody knows whether it took place.
pub const COMMIT_UNKNOWN: &str = "commit_unknown";

impl Error {
    /// Whether the same verb may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Busy | Self::Full(_) | Self::CommitUnknown(_) | Self::Unreachable(_))
    }

    /// A stable word for logs and answers.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::LeaseLost => "lease_lost",
            Self::Illegal(_) => "illegal",
            Self::Busy => "store_busy",
            Self::Full(_) => "store_full",
            Self::CommitUnknown(_) => COMMIT_UNKNOWN,
            Self::Unreachable(_) => "store_unreachable",
            Self::Corrupt(_) => "store_corrupt",
            Self::Closed => "store_closed",
            Self::Backend(_) => "store_error",
        }
    }
}
