//! Incoming frames, within the bounds of the transport. Some were read and wait for the shard's thread, some still wait
//! on their link, and for some even the sender has no room.

use bytes::Bytes;
use rustorium_transport::Config;
use rustorium_types::{Class, PublicKey};
use std::collections::{BTreeMap, VecDeque};

/// Frames of one peer and class.
#[derive(Default)]
struct Link {
    read_frames: usize,
    read_bytes: usize,
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
}

impl Link {
    /// Tells if there is room. One frame always fits.
    fn has_room(&self, class: Class, bytes: usize) -> bool {
        let (frames_max, bytes_max) = (Config::QUEUES.0[class as usize], Config::QUEUES.1[class as usize]);
        self.read_frames == 0 || self.read_frames < frames_max && self.read_bytes + bytes <= bytes_max
    }
}

/// All links of a node.
#[derive(Default)]
pub(crate) struct Inbound {
    links: BTreeMap<(PublicKey, Class), Link>,
    unread: usize,
    dropped: u64,
}

impl Inbound {
    /// Receives a frame. Returns whether it is read now. A frame that isn't waits on its link, or is dropped by its
    /// sender.
    pub(crate) fn comes(&mut self, from: PublicKey, class: Class, frame: &Bytes) -> bool {
        let link = self.links.entry((from, class)).or_default();
        if link.unread.is_empty() && link.has_room(class, frame.len()) {
            link.read_frames += 1;
            link.read_bytes += frame.len();
            return true;
        }
        let (frames_max, bytes_max) = (Config::QUEUES.0[class as usize], Config::QUEUES.1[class as usize]);
        if link.unread.len() < frames_max && link.unread_bytes + frame.len() <= bytes_max {
            link.unread_bytes += frame.len();
            link.unread.push_back(frame.clone());
            self.unread += 1;
        } else {
            self.dropped += 1;
        }
        false
    }

    /// Notes that the shard handles a frame that was read.
    pub(crate) fn dealt_with(&mut self, from: PublicKey, class: Class, bytes: usize) {
        if let Some(link) = self.links.get_mut(&(from, class)) {
            link.read_frames = link.read_frames.saturating_sub(1);
            link.read_bytes = link.read_bytes.saturating_sub(bytes);
        }
    }

    /// Reads frames that wait on links, as far as there is room.
    pub(crate) fn read_on(&mut self) -> Vec<(PublicKey, Class, Bytes)> {
        let mut read = Vec::new();
        if self.unread == 0 {
            return read;
        }
        for ((from, class), link) in &mut self.links {
            while let Some(frame) = link.unread.front().filter(|frame| link.has_room(*class, frame.len())).cloned() {
                link.unread.pop_front();
                link.unread_bytes -= frame.len();
                link.read_frames += 1;
                link.read_bytes += frame.len();
                self.unread -= 1;
                read.push((*from, *class, frame));
            }
        }
        read
    }

    /// Returns the number of frames that wait on links.
    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    /// Returns the number of frames that their senders dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
