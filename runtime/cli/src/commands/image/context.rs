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
