//! The files of an image's layers as trees, and what of them is hidden by higher layers.

use std::collections::{BTreeMap, HashMap};

use super::archive::{File, Kind};

/// How a layer's file fares in the whole image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Seen in containers of the image.
    Seen,
    /// A higher layer has another file at this path.
    Overwritten,
    /// A higher layer deletes it.
    Deleted,
}

/// A file or directory in a layer's tree.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Branch {
    /// Bytes of it and all in it.
    pub size: u64,
    /// Files in it, itself included.
    pub count: usize,
    /// `None` for a directory that only lies on the way.
    pub leaf: Option<(Kind, Fate)>,
    pub children: BTreeMap<String, Branch>,
}

/// A layer looked into.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LayerFiles {
    pub tree: Branch,
    /// Bytes of files that higher layers hide.
    pub wasted: u64,
}

/// A file that takes room and cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waste {
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Position of the layer that holds it, from the bottom.
    pub layer: usize,
    /// Position of the layer that hides it.
    pub hidden_by: usize,
    pub fate: Fate,
}

/// An image looked into.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ImageFiles {
    /// Bottom first.
    pub layers: Vec<LayerFiles>,
    /// Largest first.
    pub waste: Vec<Waste>,
}

impl ImageFiles {
    /// Lays the layers on top of each other, bottom first.
    pub(super) fn of(layers: &[Vec<File>]) -> Self {
        let mut fates: Vec<Vec<Fate>> = layers.iter().map(|files| vec![Fate::Seen; files.len()]).collect();
        let mut waste = Vec::new();
        // What is seen so far: by path, the layer and the place in it.
        let mut seen: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut hide = |at: (usize, usize), by: usize, fate: Fate, fates: &mut Vec<Vec<Fate>>| {
            let file = &layers[at.0][at.1];
            fates[at.0][at.1] = fate;
            if file.size > 0 {
                waste.push(Waste { path: file.path.clone(), size: file.size, layer: at.0, hidden_by: by, fate });
            }
        };
        for (index, files) in layers.iter().enumerate() {
            // Deletions hide what is below, whatever their order in the archive.
            for file in files.iter().filter(|file| matches!(file.kind, Kind::Deletion | Kind::Opaque)) {
                let inside = format!("{}/", file.path);
                let mut gone: Vec<String> = seen
                    .range(inside.clone()..)
                    .take_while(|(path, _)| path.starts_with(&inside))
                    .map(|(path, _)| path.clone())
                    .collect();
                if file.kind == Kind::Deletion {
                    gone.push(file.path.clone());
                }
                for path in gone {
                    if let Some(at) = seen.remove(&path) {
                        hide(at, index, Fate::Deleted, &mut fates);
                    }
                }
            }
            for (place, file) in files.iter().enumerate() {
                if matches!(file.kind, Kind::Deletion | Kind::Opaque) {
                    continue;
                }
                let former = seen.insert(file.path.clone(), (index, place));
                if let Some(at) = former
                    && at.0 != index
                    && !(file.kind == Kind::Directory && layers[at.0][at.1].kind == Kind::Directory)
                {
                    hide(at, index, Fate::Overwritten, &mut fates);
                }
            }
        }
        waste.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.path.cmp(&other.path)));
        let mut lost: HashMap<usize, u64> = HashMap::new();
        for one in &waste {
            *lost.entry(one.layer).or_default() += one.size;
        }
        let grown = layers.iter().zip(&fates).enumerate().map(|(index, (files, fates))| LayerFiles {
            tree: Branch::grow(files.iter().zip(fates.iter().copied())),
            wasted: lost.get(&index).copied().unwrap_or(0),
        });
        Self { layers: grown.collect(), waste }
    }

    /// Bytes that all containers of the image carry and none can see.
    pub(super) fn wasted(&self) -> u64 {
        self.waste.iter().map(|one| one.size).sum()
    }
}

impl Branch {
    fn grow<'a>(files: impl Iterator<Item = (&'a File, Fate)>) -> Self {
        let mut root = Self::default();
        for (file, fate) in files {
            let counts = usize::from(file.kind != Kind::Directory);
            let mut at = &mut root;
            at.size += file.size;
            at.count += counts;
            for part in file.path.split('/') {
                at = at.children.entry(part.to_owned()).or_default();
                at.size += file.size;
                at.count += counts;
            }
            at.leaf = Some((file.kind, fate));
        }
        root
    }

    /// Largest first, then by name.
    pub(super) fn sorted(&self) -> Vec<(&String, &Self)> {
        let mut children: Vec<_> = self.children.iter().collect();
        children.sort_by(|(one, left), (other, right)| right.size.cmp(&left.size).then_with(|| one.cmp(other)));
        children
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(files: &[(&str, u64)]) -> Vec<File> {
        files
            .iter()
            .map(|(path, size)| {
                let (kind, path) = match path.split_at_checked(2) {
                    Some(("D ", path)) => (Kind::Deletion, path),
                    Some(("O ", path)) => (Kind::Opaque, path),
                    _ if path.ends_with('/') => (Kind::Directory, path.trim_end_matches('/')),
                    _ => (Kind::File, *path),
                };
                File { path: path.to_owned(), size: *size, kind }
            })
            .collect()
    }

    fn wasted(layers: &[Vec<File>]) -> Vec<String> {
        let files = ImageFiles::of(layers);
        let text =
            |one: &Waste| format!("{:?} {} {} in {} by {}", one.fate, one.path, one.size, one.layer, one.hidden_by);
        files.waste.iter().map(text).collect()
    }

    #[test]
    fn what_is_overwritten_or_deleted_is_waste() {
        let layers = [
            layer(&[("etc/", 0), ("etc/hosts", 9), ("cache/", 0), ("cache/a", 50), ("cache/b", 60), ("bin", 7)]),
            layer(&[("etc/", 0), ("etc/hosts", 10)]),
            layer(&[("D cache", 0), ("D bin", 0)]),
        ];
        assert_eq!(
            wasted(&layers),
            [
                "Deleted cache/b 60 in 0 by 2",
                "Deleted cache/a 50 in 0 by 2",
                "Overwritten etc/hosts 9 in 0 by 1",
                "Deleted bin 7 in 0 by 2"
            ]
        );
        assert_eq!(ImageFiles::of(&layers).layers[0].wasted, 126);
        assert_eq!(ImageFiles::of(&layers).wasted(), 126);
    }

    #[test]
    fn an_opaque_directory_hides_only_what_lies_below_it() {
        let layers = [layer(&[("app/old", 5)]), layer(&[("app/new", 6), ("O app", 0)])];
        assert_eq!(wasted(&layers), ["Deleted app/old 5 in 0 by 1"]);
    }

    #[test]
    fn a_tree_adds_up() {
        let files = ImageFiles::of(&[layer(&[("usr/", 0), ("usr/bin/python", 70), ("usr/lib/x", 100), ("a", 1)])]);
        let tree = &files.layers[0].tree;
        assert_eq!((tree.size, tree.count), (171, 3));
        let names: Vec<_> = tree.sorted().into_iter().map(|(name, branch)| (name.as_str(), branch.size)).collect();
        assert_eq!(names, [("usr", 170), ("a", 1)]);
    }
}
