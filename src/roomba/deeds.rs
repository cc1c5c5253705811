//! What passes have done.

use std::ops::AddAssign;

use serde::Serialize;

use super::trim::Found;

macro_rules! deeds {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty,)+) => {
        /// What passes have done, counted when it was done.
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        pub struct Deeds {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl AddAssign<&Self> for Deeds {
            fn add_assign(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

deeds! {
    /// Passes that came to their end.
    passes: u64,
    /// Those of them that looked at nothing, since nothing was due and nobody had
    /// written anything.
    rests: u64,
    /// Members of the set of metrics, in the last pass.
    members: u64,
    /// Members that were left to batch processing, in the last pass.
    batch_members: u64,
    /// Series of which something was read.
    looked_at: u64,
    /// Series of which all was read.
    read_whole: u64,
    /// Series whose old records were cut off.
    cut: u64,
    /// Series that were read and written whole for such a change, since that costs Redis
    /// less.
    carried: u64,
    /// Series that were put in order or rid of duplicates or of what is no record.
    mended: u64,
    /// Series that were removed, since they had no record that is new enough.
    removed: u64,
    /// Members that were removed, since they had no series.
    ghosts: u64,
    /// Series of which a copy was set aside, since it could not all be read.
    quarantined: u64,
    /// Changes that were not made, since another writer had changed the series.
    conflicts: u64,
    /// Commands that Redis refused, such as for a key of another type.
    refused: u64,
    /// Records that were cut off since they were too old.
    records_old: u64,
    /// Records that were dropped for another one of the same timestamp.
    records_duplicate: u64,
    /// Values that were dropped since they are no records of two numbers.
    values_foreign: u64,
    /// Bytes of the parts that were replaced, before.
    bytes_before: u64,
    /// The same, after.
    bytes_after: u64,
    /// Time of all round trips to Redis, in microseconds.
    redis_us: u64,
    /// How long the last pass took, in seconds.
    last_pass_s: f64,
}

/// A change of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Other bytes in the place of some.
    Replace,
    /// The series is no more.
    Remove,
    /// There was no series; the member is no more.
    RemoveGhost,
    /// A copy is kept aside, and what could be read in its place.
    SetAside,
}

impl Deeds {
    /// Counts a change that was made: what was found in the bytes before it, and how
    /// many they were before and after.
    pub fn count(&mut self, deed: Deed, found: &Found, (before, after): (usize, usize)) {
        match deed {
            Deed::Remove => self.removed += 1,
            Deed::RemoveGhost => self.ghosts += 1,
            Deed::SetAside => self.quarantined += 1,
            Deed::Replace if found.is_disordered || found.duplicates + found.foreign > 0 => {
                self.mended += 1;
            }
            Deed::Replace => self.cut += 1,
        }
        self.records_old += found.old;
        self.records_duplicate += found.duplicates;
        self.values_foreign += found.foreign;
        self.bytes_before += before as u64;
        self.bytes_after += after as u64;
    }
}
