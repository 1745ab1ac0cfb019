//! What a container changed: its writable layer against what lies beneath, by moby's rules (`docker diff`).

use std::{collections::BTreeSet, path::Path};

use docklab_host::{Change, ChangeKind, HostResult};
use nix::libc;

use super::stack::{Node, Stack, display, is_opaque};

/// Compares the top tree of `merged` with `lower`, the same stack without its top. Sorted by path.
pub(crate) fn changes(merged: &Stack, lower: &Stack) -> HostResult<Vec<Change>> {
    let mut changes = Vec::new();
    if let Some(root) = merged.root()? {
        directory(merged, lower, &root, lower.root()?.as_ref(), &mut changes)?;
    }
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// Adds what differs beneath a directory that the top tree has.
fn directory(
    merged: &Stack,
    lower: &Stack,
    new: &Node,
    old: Option<&Node>,
    changes: &mut Vec<Change>,
) -> HostResult<()> {
    let mut names: BTreeSet<_> = merged.names(0, &new.path)?.into_iter().collect();
    if let Some(old) = old {
        let upper = merged.trees[0].open_at(&new.path, nix::fcntl::OFlag::O_PATH);
        if upper.is_ok_and(|fd| is_opaque(&fd)) {
            names.extend(
                lower.children(old)?.into_iter().filter_map(|node| Some(node.path.file_name()?.to_os_string())),
            );
        }
    }
    for name in names {
        let path = new.path.join(&name);
        let old_child = match old {
            Some(old) if old.is_directory() => lower.child(old, &name)?,
            _ => None,
        };
        match (merged.child(new, &name)?, old_child) {
            (None, None) => {}
            (None, Some(_)) => changes.push(change(&path, ChangeKind::Deleted, 0)),
            (Some(node), old_child) => {
                let place = changes.len();
                let old_directory = old_child.as_ref().filter(|old| old.is_directory());
                // A directory of a lower layer alone, seen through an opaque one: cannot be, but costs nothing to skip.
                if node.is_directory() && node.layers.first() == Some(&0) {
                    directory(merged, lower, &node, old_directory, changes)?;
                }
                let kind = match &old_child {
                    None => Some(ChangeKind::Added),
                    Some(old) if differs(old, &node) || changes.len() > place => Some(ChangeKind::Modified),
                    Some(_) => None,
                };
                if let Some(kind) = kind {
                    changes.push(change(&path, kind, size(&node)));
                }
            }
        }
    }
    Ok(())
}

fn change(path: &Path, kind: ChangeKind, size: u64) -> Change {
    Change { path: display(path), kind, size }
}

fn size(node: &Node) -> u64 {
    if node.format() == libc::S_IFREG { node.stat.st_size.unsigned_abs() } else { 0 }
}

/// Moby's comparison: inode, change time and blocks differ after any copy; size and time of a directory say nothing.
fn differs(old: &Node, new: &Node) -> bool {
    let (a, b) = (&old.stat, &new.stat);
    let contents = || {
        (a.st_size, a.st_mtime, a.st_mtime_nsec) != (b.st_size, b.st_mtime, b.st_mtime_nsec)
            && !(old.is_directory() && new.is_directory())
    };
    (a.st_mode, a.st_uid, a.st_gid, a.st_rdev) != (b.st_mode, b.st_uid, b.st_gid, b.st_rdev) || contents()
}
