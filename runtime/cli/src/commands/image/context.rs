//! The build context: a deterministic tar of a directory.

use futures::future::BoxFuture;

use super::ignore::IgnoreFile;
use crate::{
    console::{Console, FileKind},
    error::{CliError, CliResult},
};

/// Packs `root`, without what `.dockerignore` leaves out. The Dockerfile and `.dockerignore` themselves always go
/// along.
pub(crate) async fn pack(console: &dyn Console, root: &str, dockerfile: &str) -> CliResult<Vec<u8>> {
    let ignore = match console.read_file(&format!("{root}/.dockerignore")).await {
        Ok(bytes) => IgnoreFile::parse(&String::from_utf8_lossy(&bytes)),
        Err(error) if error.is_missing() => IgnoreFile::default(),
        Err(error) => return Err(error.into()),
    };
    let mut files = Vec::new();
    walk(console, root, String::new(), &ignore, &[dockerfile, ".dockerignore"], &mut files).await?;
    let mut archive = tar::Builder::new(Vec::new());
    for path in files {
        append(console, &mut archive, &format!("{root}/{path}"), &path).await?;
    }
    archive.into_inner().map_err(|error| CliError::new(format!("packing the build context: {error}")))
}

fn walk<'a>(
    console: &'a dyn Console,
    root: &'a str,
    folder: String,
    ignore: &'a IgnoreFile,
    always: &'a [&'a str],
    files: &'a mut Vec<String>,
) -> BoxFuture<'a, CliResult<()>> {
    Box::pin(async move {
        let mut names = console.read_directory(&format!("{root}/{folder}")).await?;
        names.sort();
        for name in names {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let metadata = console.metadata(&format!("{root}/{path}")).await?;
            let excluded = ignore.excludes(&path) && !always.contains(&path.as_str());
            if !excluded && metadata.kind != FileKind::Other {
                files.push(path.clone());
            }
            if metadata.kind == FileKind::Directory && (!excluded || ignore.has_exceptions()) {
                walk(console, root, path, ignore, always, files).await?;
            }
        }
        Ok(())
    })
}

async fn append(console: &dyn Console, archive: &mut tar::Builder<Vec<u8>>, source: &str, name: &str) -> CliResult<()> {
    let metadata = console.metadata(source).await?;
    let mut header = tar::Header::new_gnu();
    header.set_mode(metadata.mode);
    header.set_mtime(u64::try_from(metadata.modified).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    let packing = |error: std::io::Error| CliError::new(format!("packing {name}: {error}"));
    match metadata.kind {
        FileKind::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            archive.append_data(&mut header, format!("{name}/"), std::io::empty()).map_err(packing)
        }
        FileKind::Link => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, name, metadata.link_target.unwrap_or_default()).map_err(packing)
        }
        _ => {
            let content = console.read_file(source).await?;
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_slice()).map_err(packing)
        }
    }
}

/// Packs all of `root`, its names beginning with `prefix` (none when empty).
pub(crate) async fn pack_below(console: &dyn Console, root: &str, prefix: &str) -> CliResult<Vec<u8>> {
    let mut files = Vec::new();
    walk(console, root, String::new(), &IgnoreFile::default(), &[], &mut files).await?;
    let mut archive = tar::Builder::new(Vec::new());
    if !prefix.is_empty() {
        append(console, &mut archive, root, prefix).await?;
    }
    for path in files {
        let name = if prefix.is_empty() { path.clone() } else { format!("{prefix}/{path}") };
        append(console, &mut archive, &format!("{root}/{path}"), &name).await?;
    }
    archive.into_inner().map_err(|error| CliError::new(format!("packing {root}: {error}")))
}

/// Packs one file under another name.
pub(crate) async fn pack_file(console: &dyn Console, source: &str, name: &str) -> CliResult<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    append(console, &mut archive, source, name).await?;
    archive.into_inner().map_err(|error| CliError::new(format!("packing {source}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestConsole;

    #[test]
    fn a_context_is_sorted_and_leaves_out_what_is_ignored() {
        let console = TestConsole::new(0)
            .with_file("app/b.txt", "b")
            .with_file("app/a.txt", "a")
            .with_file("app/.dockerignore", "b.txt\nDockerfile\n")
            .with_file("app/Dockerfile", "FROM scratch\n");
        let packed = futures::executor::block_on(pack(&console, "/root/app", "Dockerfile")).unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| String::from_utf8_lossy(&entry.unwrap().path_bytes()).into_owned())
            .collect();
        assert_eq!(names, [".dockerignore", "Dockerfile", "a.txt"]);
    }
}
