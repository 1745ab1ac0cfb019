//! The files of a layer, read from the engine when asked for.

use std::{cell::Cell, collections::HashMap, rc::Rc, sync::Arc};

use docklab_api::DockerApi;
use futures::StreamExt as _;
use yew::prelude::*;

use super::{
    archive::{ArchiveReader, Kind},
    draw::size_text,
    files::{Branch, Fate, ImageFiles},
};

/// Images larger than this are not read into the page.
pub(super) const LARGEST: u64 = 1_000_000_000;
/// Entries of a directory that are shown at first.
const ENTRIES: usize = 100;
/// Bytes between two reports of progress.
const REPORT: u64 = 2_000_000;

/// What is known of the files of an image.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Inside {
    /// Bytes read so far.
    Reading(u64),
    Known(Rc<ImageFiles>),
    Failed(String),
}

/// By image ID.
pub(super) type Insides = Rc<HashMap<String, Inside>>;

/// Reads all layers of an image.
pub(super) async fn read(api: &Arc<dyn DockerApi>, image: &str, report: impl Fn(Inside)) {
    let result = async {
        let mut stream = api.save_images(vec![image.to_owned()]).await.map_err(|error| error.to_string())?;
        let mut reader = ArchiveReader::default();
        let (read, told) = (Cell::new(0_u64), Cell::new(0_u64));
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| error.to_string())?;
            reader.push(&piece).map_err(|error| error.to_string())?;
            read.set(read.get() + piece.len() as u64);
            if read.get() - told.get() > REPORT {
                told.set(read.get());
                report(Inside::Reading(read.get()));
            }
        }
        reader.finish().map_err(|error| error.to_string())
    };
    report(match result.await {
        Ok(layers) => Inside::Known(Rc::new(ImageFiles::of(&layers))),
        Err(error) => Inside::Failed(error),
    });
}

#[derive(Properties, PartialEq)]
pub(super) struct FilesProps {
    pub(super) inside: Option<Inside>,
    /// Of the whole image, bytes.
    pub(super) size: u64,
    /// Position of the layer, from the bottom.
    pub(super) depth: usize,
    /// The lines of the image's layers, bottom first.
    pub(super) lines: Vec<String>,
    pub(super) on_read: Callback<()>,
}

/// The files of one layer as a tree, and what of them higher layers hide.
#[component]
pub(super) fn Files(props: &FilesProps) -> Html {
    let read = {
        let on_read = props.on_read.clone();
        Callback::from(move |_: MouseEvent| on_read.emit(()))
    };
    match &props.inside {
        None if props.size > LARGEST => html! {
            <p class="faint">{ format!("This image has {}. The page reads the files of images of up to {}; `docker save` writes larger ones to a file.", size_text(props.size), size_text(LARGEST)) }</p>
        },
        None => html! {
            <p><button type="button" class="button" onclick={read}>{ "Look at its files" }</button>
                <span class="faint">{ format!(" reads {} from the engine", size_text(props.size)) }</span></p>
        },
        Some(Inside::Reading(bytes)) => html! {
            <p class="faint" role="status"><span class="spinner" aria-hidden="true" />{ format!("Reading… {}", size_text(*bytes)) }</p>
        },
        Some(Inside::Failed(reason)) => html! {
            <><p class="trouble">{ reason }</p><p><button type="button" class="button" onclick={read}>{ "Try again" }</button></p></>
        },
        Some(Inside::Known(files)) => html! { <>{ waste(files, props) }{ tree(files, props.depth) }</> },
    }
}

fn waste(files: &ImageFiles, props: &FilesProps) -> Html {
    let here: Vec<_> = files.waste.iter().filter(|one| one.layer == props.depth).collect();
    let lost: u64 = here.iter().map(|one| one.size).sum();
    if here.is_empty() {
        let all = files.wasted();
        let text = if all == 0 {
            "No byte of this image is wasted: no layer hides a file of another.".to_owned()
        } else {
            format!("Nothing of this layer is hidden. In the whole image, higher layers hide {}.", size_text(all))
        };
        return html! { <p class="faint">{ text }</p> };
    }
    html! {
        <div class="waste">
            <p>{ format!("{} wasted: higher layers hide files that still travel with every copy.", size_text(lost)) }</p>
            <ul>{ for here.iter().take(5).map(|one| {
                let verb = if one.fate == Fate::Deleted { "deleted" } else { "replaced" };
                let by = props.lines.get(one.hidden_by).map_or("a higher layer", String::as_str);
                html! { <li><code>{ format!("/{}", one.path) }</code>{ format!(" {}, {verb} by ", size_text(one.size)) }<code>{ by }</code></li> }
            }) }</ul>
            if here.len() > 5 { <p class="faint">{ format!("and {} more", here.len() - 5) }</p> }
        </div>
    }
}

fn tree(files: &Rc<ImageFiles>, depth: usize) -> Html {
    let Some(layer) = files.layers.get(depth) else { return html! {} };
    if layer.tree.children.is_empty() {
        return html! { <p class="faint">{ "This layer holds no files." }</p> };
    }
    let few = layer.tree.count <= 12;
    html! { <ul class="file-tree">{ entries(files, depth, &mut Vec::new(), &layer.tree, few, ENTRIES) }</ul> }
}

fn entries(
    files: &Rc<ImageFiles>,
    depth: usize,
    path: &mut Vec<String>,
    branch: &Branch,
    open: bool,
    most: usize,
) -> Html {
    let sorted = branch.sorted();
    let hidden = sorted.len().saturating_sub(most);
    let shown: Vec<Html> = sorted
        .into_iter()
        .take(most)
        .map(|(name, child)| {
            path.push(name.clone());
            let entry = entry(files, depth, path, name, child, open);
            path.pop();
            entry
        })
        .collect();
    html! { <>{ for shown }if hidden > 0 { <li class="faint">{ format!("and {hidden} more") }</li> }</> }
}

fn entry(files: &Rc<ImageFiles>, depth: usize, path: &[String], name: &str, branch: &Branch, open: bool) -> Html {
    let (kind, fate) = branch.leaf.unwrap_or((Kind::Directory, Fate::Seen));
    let size = (branch.size > 0).then(|| size_text(branch.size));
    let fate_word = match (kind, fate) {
        (Kind::Deletion, _) => Some("deletes it"),
        (Kind::Opaque, _) => Some("hides what was in it"),
        (_, Fate::Overwritten) if kind != Kind::Directory => Some("replaced higher up"),
        (_, Fate::Deleted) => Some("deleted higher up"),
        _ => None,
    };
    let label = html! {
        <>
            <span class="file-name" data-hidden={(fate != Fate::Seen && kind != Kind::Directory).to_string()} data-deletion={(kind == Kind::Deletion).to_string()}>{ name.to_owned() }{ if branch.children.is_empty() && kind != Kind::Directory { "" } else { "/" } }</span>
            if let Some(word) = fate_word { <span class="fate">{ word }</span> }
            <span class="file-size">{ size }</span>
        </>
    };
    if branch.children.is_empty() {
        return html! { <li key={name.to_owned()}><span class="tree-row">{ label }</span></li> };
    }
    html! { <li key={name.to_owned()}><Directory files={Shared(files.clone())} {depth} path={path.to_vec()} {label} {open} /></li> }
}

/// Files as a property: equal when they are the same ones.
#[derive(Clone)]
struct Shared(Rc<ImageFiles>);

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Properties, PartialEq)]
struct DirectoryProps {
    files: Shared,
    depth: usize,
    path: Vec<String>,
    label: Html,
    open: bool,
}

/// A directory draws what is in it only while it is open: layers have tens of thousands of files.
#[component]
fn Directory(props: &DirectoryProps) -> Html {
    let open = use_state(|| props.open);
    let ontoggle = {
        let open = open.clone();
        Callback::from(move |event: Event| {
            if let Some(element) = event.target_dyn_into::<web_sys::Element>() {
                open.set(element.has_attribute("open"));
            }
        })
    };
    let branch = props
        .files
        .0
        .layers
        .get(props.depth)
        .and_then(|layer| props.path.iter().try_fold(&layer.tree, |branch, part| branch.children.get(part)));
    let inside = branch.filter(|_| *open).map(|branch| {
        let mut path = props.path.clone();
        entries(&props.files.0, props.depth, &mut path, branch, props.open, ENTRIES)
    });
    html! {
        <details open={props.open} {ontoggle}>
            <summary class="tree-row">{ props.label.clone() }</summary>
            <ul>{ inside }</ul>
        </details>
    }
}
