//! Owners as the container's user namespace has them: a FUSE mount cannot be idmapped, so what would be done by the mount is done here, to files, to
//! ACLs and to file capabilities. (linux/posix_acl_xattr.h, linux/capability.h: both are little-endian.)

use std::borrow::Cow;

#[derive(Clone, Copy)]
pub enum Owners {
    /// As they are.
    Own,
    /// Ids below `count` are those of the machine from `first` on.
    Shifted { first: u32, count: u32 },
    /// Of an account that is not root: ids that its user namespace lacks are root's, as they are on its disk.
    Known { uids: u32, gids: u32 },
}

/// Nobody's.
const INVALID: u32 = u32::MAX;

impl Owners {
    pub fn uid(self, id: u32) -> u32 {
        self.shift(id, |uids, _| uids)
    }

    pub fn gid(self, id: u32) -> u32 {
        self.shift(id, |_, gids| gids)
    }

    fn shift(self, id: u32, known: impl Fn(u32, u32) -> u32) -> u32 {
        match self {
            Self::Own => id,
            Self::Shifted { first, count } => {
                if id < count {
                    first.saturating_add(id)
                } else {
                    INVALID
                }
            }
            Self::Known { uids, gids } => {
                if id < known(uids, gids) {
                    id
                } else {
                    0
                }
            }
        }
    }

    /// The value of an extended attribute.
    pub fn attribute<'a>(self, name: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
        match (name, self) {
            (_, Self::Own) => value.into(),
            (b"system.posix_acl_access" | b"system.posix_acl_default", _) => self.acl(value).into(),
            (b"security.capability", Self::Shifted { .. }) => self.capability(value).into(),
            _ => value.into(),
        }
    }

    /// A version, then entries of tag, rights and id.
    fn acl(self, value: &[u8]) -> Vec<u8> {
        const USER: [u8; 2] = [0x02, 0];
        const GROUP: [u8; 2] = [0x08, 0];
        let mut shifted = value.to_vec();
        for entry in shifted.get_mut(4..).unwrap_or_default().chunks_exact_mut(8) {
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            let id = match [entry[0], entry[1]] {
                USER => self.uid(id),
                GROUP => self.gid(id),
                _ => continue,
            };
            entry[4..].copy_from_slice(&id.to_le_bytes());
        }
        shifted
    }

    /// Those of version 2 are root's, whoever that is; of version 3 they name the root whose they are.
    fn capability(self, value: &[u8]) -> Vec<u8> {
        const VERSION_2: u32 = 0x0200_0000;
        const VERSION_3: u32 = 0x0300_0000;
        const VERSION_MASK: u32 = 0xff00_0000;
        let Some(&[a, b, c, d]) = value.get(..4) else { return value.to_vec() };
        let magic = u32::from_le_bytes([a, b, c, d]);
        let root = match (magic & VERSION_MASK, value.get(20..24)) {
            (VERSION_2, None) if value.len() == 20 => 0,
            (VERSION_3, Some(&[a, b, c, d])) => u32::from_le_bytes([a, b, c, d]),
            _ => return value.to_vec(),
        };
        let mut shifted = (magic & !VERSION_MASK | VERSION_3).to_le_bytes().to_vec();
        shifted.extend_from_slice(&value[4..20]);
        shifted.extend_from_slice(&self.uid(root).to_le_bytes());
        shifted
    }
}
