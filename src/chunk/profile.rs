//! Which encoding a row group gets. Pure.

/// How much work a row group may cost: told by the shard, which knows whether others wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// The shard has a queue: cheapest bytes.
    Direct,
    /// The shard has slack: small rows are packed (dictionary, ZSTD, delta timestamps).
    Compact,
}

/// Rows of this size are payloads: packing them costs far more than the bytes it saves.
const PAYLOAD_ROW_BYTES: u64 = 4 << 10;

/// How one row group is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// Our own pages around the batch's buffers.
    Direct,
    /// The Arrow writer without dictionary or compression: types direct pages do not know.
    Plain,
    /// The Arrow writer with all it has.
    Packed,
}

impl Profile {
    /// `direct` says whether every column can be written directly; `bytes` are the Arrow bytes of all `rows`.
    pub(super) fn choose(direct: bool, rows: u64, bytes: u64, effort: Effort) -> Self {
        let payload = bytes / rows.max(1) >= PAYLOAD_ROW_BYTES;
        match (effort, payload, direct) {
            (Effort::Compact, false, _) => Self::Packed,
            (_, _, true) => Self::Direct,
            (_, _, false) => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_never_packed_and_small_rows_only_with_slack() {
        assert_eq!(Profile::choose(true, 10, 10 << 20, Effort::Compact), Profile::Direct);
        assert_eq!(Profile::choose(true, 10, 560, Effort::Compact), Profile::Packed);
        assert_eq!(Profile::choose(true, 10, 560, Effort::Direct), Profile::Direct);
        assert_eq!(Profile::choose(false, 10, 560, Effort::Direct), Profile::Plain);
        assert_eq!(Profile::choose(false, 10, 10 << 20, Effort::Compact), Profile::Plain);
    }
}
