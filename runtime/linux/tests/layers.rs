//! The layer store on the machine's own file system. Needs root: owners, devices and overlayfs's attributes are real.

use std::{io::Write, path::Path};

use bytes::Bytes;
use docklab_host::{ByteStream, ChangeKind, Compression, FileKind, HostError, HostResult, Layers, Root};
use docklab_linux::{LinuxHost, LinuxOptions};
use futures::{StreamExt, TryStreamExt, stream};
use proptest::{prelude::*, test_runner::Config};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

async fn open(root: &Path) -> LinuxHost {
    LinuxHost::open(LinuxOptions::beneath(root, "layer")).await.unwrap()
}

fn bytes(data: Vec<u8>) -> ByteStream {
    let chunks: Vec<HostResult<Bytes>> = data.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks).boxed()
}

async fn collect(stream: ByteStream) -> HostResult<Vec<u8>> {
    stream
        .try_fold(Vec::new(), |mut all, bytes| async move {
            all.extend_from_slice(&bytes);
            Ok(all)
        })
        .await
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

/// One entry: name, kind, content or link target.
type Entry<'a> = (&'a str, EntryType, &'a str);

fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if *kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(1000);
        header.set_gid(1001);
        header.set_mtime(1_700_000_000);
        header.set_size(if *kind == EntryType::Regular { content.len() as u64 } else { 0 });
        // Set by hand: the builder refuses the names that a hostile archive has.
        if name.len() < 100 {
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_cksum();
            let data = if *kind == EntryType::Regular { content.as_bytes() } else { b"" };
            builder.append(&header, data).unwrap();
        } else {
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

use EntryType::{Directory, Link, Regular, Symlink};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_comes_out_as_it_went_in() {
    let root = tempfile::tempdir().unwrap();
    let host = open(root.path()).await;
    let long = format!("dir/{}", "n".repeat(150));
    let mut tar = tar_of(&[
        ("dir/", Directory, ""),
        ("dir/file", Regular, "content"),
        ("dir/hard", Link, "dir/file"),
        ("dir/soft", Symlink, "file"),
        (&long, Regular, "long"),
        // A second time: the first one's content must still be there for the export.
        ("dir/file", Regular, "other content"),
    ]);
    tar.extend([0; 10_240]);
    let layer = host.unpack(None, Compression::None, bytes(tar.clone())).await.unwrap();
    assert_eq!(layer.diff_id, digest(&tar));
    assert_eq!(layer.chain_id, layer.diff_id);
    assert_eq!(collect(host.export_layer(&layer.chain_id).await.unwrap()).await.unwrap(), tar);
    let view = Root::Layers(Some(layer.chain_id.clone()));
    let stat = host.stat(&view, "/dir/file").await.unwrap().unwrap();
    assert_eq!((stat.uid, stat.gid, stat.mode, stat.mtime, stat.size), (1000, 1001, 0o644, 1_700_000_000, 13));
    let link = host.stat(&view, "/dir/soft").await.unwrap().unwrap();
    assert_eq!((link.kind, link.link_target.as_str()), (FileKind::Symlink, "file"));
    assert_eq!(host.read_file(&view, "/dir/soft", 100).await.unwrap().unwrap(), "other content");
    assert_eq!(host.read_file(&view, "/dir/hard", 100).await.unwrap().unwrap(), "content");
    // The same layer compressed is the same layer.
    let packed = collect(host.gzip(bytes(tar.clone()))).await.unwrap();
    assert_eq!(host.unpack(None, Compression::Gzip, bytes(packed.clone())).await.unwrap(), layer);
    assert_eq!(collect(host.gzip(bytes(tar))).await.unwrap(), packed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whiteouts_hide_lower_layers_only() {
    let root = tempfile::tempdir().unwrap();
    let host = open(root.path()).await;
    let base = tar_of(&[
        ("a/", Directory, ""),
        ("a/old", Regular, "1"),
        ("b/", Directory, ""),
        ("b/old", Regular, "1"),
        ("gone", Regular, "1"),
    ]);
    let base = host.unpack(None, Compression::None, bytes(base)).await.unwrap();
    let top = tar_of(&[
        (".wh.gone", Regular, ""),
        ("a/new", Regular, "2"),
        ("a/.wh..wh..opq", Regular, ""),
        ("b/.wh.old", Regular, ""),
        ("b/new", Regular, "2"),
    ]);
    let top = host.unpack(Some(&base.chain_id), Compression::None, bytes(top)).await.unwrap();
    let view = Root::Layers(Some(top.chain_id.clone()));
    for (path, there) in [("/gone", false), ("/a/old", false), ("/a/new", true), ("/b/old", false), ("/b/new", true)] {
        assert_eq!(host.stat(&view, path).await.unwrap().is_some(), there, "{path}");
    }
    // A directory that the upper layer does not mention keeps its owner.
    assert_eq!(host.stat(&view, "/b").await.unwrap().unwrap().uid, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_archives_stay_inside_and_leave_nothing() {
    let root = tempfile::tempdir().unwrap();
    let outside = root.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let host = open(&root.path().join("engine")).await;
    for entries in [
        vec![("../outside/file", Regular, "x")],
        vec![("dir/../../outside/file", Regular, "x")],
        vec![("link", Link, "../outside/file")],
    ] {
        let error = host.unpack(None, Compression::None, bytes(tar_of(&entries))).await;
        assert!(matches!(error, Err(HostError::InvalidTar(_))), "{entries:?}: {error:?}");
    }
    // Links are followed within the root.
    let target = outside.display().to_string();
    let tar = tar_of(&[
        ("escape", Symlink, &target),
        ("up", Symlink, "../../../../.."),
        ("escape/file", Regular, "x"),
        ("up/top", Regular, "x"),
        ("/absolute", Regular, "x"),
    ]);
    let layer = host.unpack(None, Compression::None, bytes(tar)).await.unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let view = Root::Layers(Some(layer.chain_id));
    for path in ["/escape/file", "/top", "/absolute"] {
        assert!(host.stat(&view, path).await.unwrap().is_some(), "{path}");
    }
    // A broken stream and a truncated archive.
    let mut cut = tar_of(&[("file", Regular, &"x".repeat(2000))]);
    cut.truncate(1000);
    let error = host.unpack(None, Compression::None, bytes(cut)).await.unwrap_err();
    assert!(matches!(error, HostError::InvalidTar(_)), "{error:?}");
    let broken = stream::iter([Err(HostError::Network("connection reset".to_owned()))]).boxed();
    let error = host.unpack(None, Compression::None, broken).await.unwrap_err();
    assert_eq!(error, HostError::Network("connection reset".to_owned()));
    let temporary = root.path().join("engine/data/layers/tmp");
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_container_changed_becomes_a_layer() {
    let root = tempfile::tempdir().unwrap();
    let host = open(root.path()).await;
    let base = tar_of(&[
        ("etc/", Directory, ""),
        ("etc/motd", Regular, "old"),
        ("bin/", Directory, ""),
        ("bin/sh", Regular, "sh"),
    ]);
    let base = host.unpack(None, Compression::None, bytes(base)).await.unwrap();
    host.create_rootfs("c1", Some(&base.chain_id)).await.unwrap();
    assert_eq!(host.changes("c1").await.unwrap(), []);
    assert_eq!(host.commit("c1").await.unwrap(), None);
    let view = Root::Container("c1".to_owned());
    // Docker's init layer.
    assert!(host.stat(&view, "/etc/resolv.conf").await.unwrap().is_some());
    host.extract(&view, "/etc", false, bytes(tar_of(&[("motd", Regular, "new content"), ("extra", Regular, "1")])))
        .await
        .unwrap();
    let changes = host.changes("c1").await.unwrap();
    let lines: Vec<_> = changes.iter().map(|change| (change.path.as_str(), change.kind)).collect();
    assert_eq!(
        lines,
        [("/etc", ChangeKind::Modified), ("/etc/extra", ChangeKind::Added), ("/etc/motd", ChangeKind::Modified)]
    );
    assert_eq!(host.rootfs_size("c1").await.unwrap(), 12);
    let layer = host.commit("c1").await.unwrap().unwrap();
    assert_eq!(host.commit("c1").await.unwrap(), Some(layer.clone()));
    let committed = Root::Layers(Some(layer.chain_id.clone()));
    assert_eq!(host.read_file(&committed, "/etc/motd", 100).await.unwrap().unwrap(), "new content");
    assert_eq!(host.read_file(&committed, "/bin/sh", 100).await.unwrap().unwrap(), "sh");
    assert_eq!(host.stat(&committed, "/etc/resolv.conf").await.unwrap(), None);
    let exported = collect(host.export_layer(&layer.chain_id).await.unwrap()).await.unwrap();
    assert_eq!(digest(&exported), layer.diff_id);
    let archived = collect(host.archive(&committed, "/etc").await.unwrap()).await.unwrap();
    let mut archive = tar::Archive::new(archived.as_slice());
    let names: Vec<_> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names, ["etc/", "etc/extra", "etc/motd"]);
    host.remove_rootfs("c1").await.unwrap();
    assert_eq!(host.stat(&view, "/").await, Err(HostError::not_found("container", "c1")));
    host.remove_layer(&layer.chain_id).await.unwrap();
    assert_eq!(host.layer(&layer.chain_id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_that_engines_share_goes_with_its_last_user() {
    let root = tempfile::tempdir().unwrap();
    let engine = |name: &str| {
        let mut options = LinuxOptions::beneath(root.path().join(name), name);
        options.shared_layers = Some(root.path().join("shared"));
        LinuxHost::open(options)
    };
    let (one, two) = (engine("one").await.unwrap(), engine("two").await.unwrap());
    let layer = one.unpack(None, Compression::None, bytes(tar_of(&[("file", Regular, "1")]))).await.unwrap();
    assert_eq!(two.layer(&layer.chain_id).await.unwrap(), Some(layer.clone()));
    one.remove_layer(&layer.chain_id).await.unwrap();
    let view = Root::Layers(Some(layer.chain_id.clone()));
    assert!(two.stat(&view, "/file").await.unwrap().is_some());
    two.remove_layer(&layer.chain_id).await.unwrap();
    assert_eq!(two.layer(&layer.chain_id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_have_the_digest_that_they_say() {
    let root = tempfile::tempdir().unwrap();
    let host = open(root.path()).await;
    let wrong = digest(b"other");
    let error = host.write_blob(Some(&wrong), bytes(b"content".to_vec())).await.unwrap_err();
    assert_eq!(error, HostError::DigestMismatch { expected: wrong.clone(), actual: digest(b"content") });
    let blob = host.write_blob(Some(&digest(b"content")), bytes(b"content".to_vec())).await.unwrap();
    assert_eq!(collect(host.read_blob(&blob.digest, 3).await.unwrap()).await.unwrap(), b"tent");
    host.remove_blob(&blob.digest).await.unwrap();
    assert_eq!(host.read_blob(&blob.digest, 0).await.err(), Some(HostError::not_found("blob", blob.digest)));
}

proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    /// Whatever is in a tar, in whatever order and how often: the export is the import.
    #[test]
    fn any_tar_is_exported_byte_for_byte(
        files in prop::collection::vec(("[a-c]/[a-c]", prop::collection::vec(any::<u8>(), 0..1500)), 0..20),
        padding in 0_usize..3,
    ) {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in &files {
            let mut header = Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            builder.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        let mut tar = builder.into_inner().unwrap();
        tar.write_all(&vec![0; padding * 512]).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let root = tempfile::tempdir().unwrap();
            let host = open(root.path()).await;
            let layer = host.unpack(None, Compression::None, bytes(tar.clone())).await.unwrap();
            assert_eq!(layer.diff_id, digest(&tar));
            assert_eq!(collect(host.export_layer(&layer.chain_id).await.unwrap()).await.unwrap(), tar);
        });
    }
}
