use std::{cell::Cell, rc::Rc};

use futures::StreamExt as _;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::Closure;
use yew::prelude::*;

use super::{deck::Keyboard, xterm::TerminalView};
use crate::{
    browser,
    session::{SharedSession, TerminalInput},
};

#[derive(Properties, PartialEq)]
pub(super) struct TerminalScreenProps {
    pub(super) id: u32,
    pub(super) node: String,
    pub(super) session: SharedSession,
    pub(super) keyboard: Keyboard,
    pub(super) visible: bool,
    pub(super) epoch: u32,
    pub(super) theme: AttrValue,
    pub(super) read_aloud: bool,
    pub(super) on_output: Callback<()>,
}

/// xterm.js with what it calls back.
struct Screen {
    view: TerminalView,
    _on_data: Closure<dyn FnMut(String)>,
    _on_resize: Closure<dyn FnMut(u16, u16)>,
}

impl Screen {
    fn new(element: &web_sys::Element, id: u32, keyboard: &Keyboard) -> Self {
        let on_data = {
            let keyboard = keyboard.clone();
            Closure::<dyn FnMut(String)>::new(move |text: String| {
                keyboard.type_by_hand(id, text);
            })
        };
        let on_resize = {
            let keyboard = keyboard.clone();
            Closure::<dyn FnMut(u16, u16)>::new(move |columns, rows| {
                keyboard.send(id, TerminalInput::Resize { columns, rows });
            })
        };
        let view = TerminalView::new(element, on_data.as_ref().unchecked_ref(), on_resize.as_ref().unchecked_ref());
        Self { view, _on_data: on_data, _on_resize: on_resize }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.view.dispose();
    }
}

const GONE: &[u8] = b"\r\n\x1b[2m[the shell has ended \xe2\x80\x94 press Enter for a new one]\x1b[0m\r\n";

#[component]
pub(super) fn TerminalScreen(props: &TerminalScreenProps) -> Html {
    let element = use_node_ref();
    let screen = use_state(|| None::<Rc<Screen>>);
    // Counts the shells opened in this terminal.
    let attempt = use_state(|| 0_u32);
    let alive = use_mut_ref(|| Rc::new(Cell::new(false)));
    {
        let (screen, element, keyboard, id) = (screen.clone(), element.clone(), props.keyboard.clone(), props.id);
        use_effect_with((), move |()| {
            if let Some(element) = element.cast::<web_sys::Element>() {
                screen.set(Some(Rc::new(Screen::new(&element, id, &keyboard))));
            }
            move || {
                keyboard.disconnect(id);
                screen.set(None);
            }
        });
    }
    {
        let (alive, session, keyboard) = (alive.clone(), props.session.clone(), props.keyboard.clone());
        let (node, id, on_output) = (props.node.clone(), props.id, props.on_output.clone());
        use_effect_with((screen.clone(), props.session.clone(), props.epoch, *attempt), move |(screen, ..)| {
            if let Some(screen) = (**screen).clone()
                && !alive.borrow().get()
            {
                let living = Rc::new(Cell::new(true));
                alive.replace(living.clone());
                open(&session, &node, id, &keyboard, screen, living, on_output);
            }
        });
    }
    {
        let screen = screen.clone();
        use_effect_with((props.theme.clone(), screen.clone()), move |_| {
            if let Some(screen) = &*screen {
                screen.view.recolour();
            }
        });
    }
    {
        let screen = screen.clone();
        use_effect_with((props.read_aloud, screen.clone()), move |(on, _)| {
            if let Some(screen) = &*screen {
                screen.view.read_aloud(*on);
            }
        });
    }
    {
        let screen = screen.clone();
        use_effect_with((props.visible, screen.clone()), move |(visible, _)| {
            if let (true, Some(screen)) = (*visible, &*screen) {
                screen.view.fit();
                screen.view.focus();
            }
        });
    }
    let onkeydown = {
        let (attempt, alive) = (attempt.clone(), alive.clone());
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Enter" && !alive.borrow().get() {
                attempt.set(*attempt + 1);
            }
        })
    };
    html! {
        <div class="terminal-screen" role="tabpanel" aria-label={format!("Terminal on {}", props.node)}
            data-visible={props.visible.to_string()} {onkeydown}>
            <div class="terminal-body" ref={element} />
        </div>
    }
}

impl PartialEq for Screen {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

fn open(
    session: &SharedSession,
    node: &str,
    id: u32,
    keyboard: &Keyboard,
    screen: Rc<Screen>,
    living: Rc<Cell<bool>>,
    on_output: Callback<()>,
) {
    match session.open_terminal(node, screen.view.columns(), screen.view.rows()) {
        Ok(mut link) => {
            keyboard.connect(id, link.input);
            let keyboard = keyboard.clone();
            browser::spawn(async move {
                while let Some(bytes) = link.output.next().await {
                    keyboard.printed(id, &bytes);
                    screen.view.write(&bytes);
                    on_output.emit(());
                }
                living.set(false);
                screen.view.write(GONE);
            });
        }
        Err(error) => {
            living.set(false);
            screen.view.write(format!("\r\n{error}\r\n").as_bytes());
        }
    }
}
