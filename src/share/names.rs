//! The files on the shelf by the numbers that the index knows them by, and what queries see
//! of each: its name, and the folders that others are told.

use std::sync::Arc;

use super::index::{Entry, Files};
use super::published_path::Published;

/// The files by their numbers, which are as small as they can be.
#[derive(Default)]
pub(super) struct Names {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
}

/// A file on the shelf, and how many bytes of its path are not told to others.
struct Slot {
    file: Arc<Published>,
    untold: u32,
}

impl Names {
    /// The number that the next file gets.
    pub(super) fn next(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // At most `MAX_PATHS`.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Puts a file, of whose path so many bytes are not told, at its number.
    pub(super) fn put(&mut self, file: Arc<Published>, untold: u32) {
        if let Some(slot) = self.slots.get_mut(file.number as usize) {
            *slot = Some(Slot { file, untold });
        }
    }

    /// Takes the file of a number away; another may get the number.
    pub(super) fn clear(&mut self, number: u32) {
        let slot = self.slots.get_mut(number as usize);
        if slot.is_some_and(|slot| slot.take().is_some()) {
            self.free.push(number);
        }
    }

    /// How many bytes of a file's path are not told.
    pub(super) fn untold(&self, number: u32) -> Option<u32> {
        self.slot(number).map(|slot| slot.untold)
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// The file of a number.
    pub(super) fn file(&self, number: u32) -> Option<&Arc<Published>> {
        self.slot(number).map(|slot| &slot.file)
    }

    /// What queries see of a file on the shelf.
    pub(super) fn entry_of(&self, file: &Published) -> Option<Entry<'_>> {
        self.entry(file.number)
    }
}

impl Files for Names {
    fn entry(&self, number: u32) -> Option<Entry<'_>> {
        let Slot { file, untold } = self.slot(number)?;
        let folder = file.path.parent()?.to_str()?;
        Some(Entry {
            // Shorter than what is not told: it lies in what was published, or is it.
            folder: folder.get(*untold as usize..).unwrap_or_default(),
            name: file.name.as_str(),
            size: file.stamp.size,
            id: file.list.id(),
        })
    }
}
