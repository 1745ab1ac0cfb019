use std::rc::Rc;

use yew::prelude::*;

use crate::observe::{NodeView, Sharing};

#[derive(Properties, PartialEq)]
pub struct HostTableProps {
    pub view: Rc<NodeView>,
    #[prop_or_default]
    pub on_select: Callback<String>,
}

/// The host diagram's text equivalent.
#[component]
pub fn HostTable(props: &HostTableProps) -> Html {
    let view = &*props.view;
    html! {
        <div class="text-equivalent">
            <p>{ format!("{} runs {} with Linux kernel {}, shared by all containers.", view.name, view.host.operating_system, view.host.kernel) }</p>
            <table>
                <caption>{ format!("Containers on {}", view.name) }</caption>
                <thead><tr>
                    { for ["Name", "Image", "State", "PID 1", "Host PID", "Ports", "Address", "Shared namespaces"].map(|title| html! { <th scope="col">{ title }</th> }) }
                </tr></thead>
                <tbody>
                    { for view.containers.iter().map(|container| {
                        let ports: Vec<String> = container.ports.iter()
                            .map(|port| match port.host_port {
                                Some(host) => format!("{host} to {}/{}", port.container_port, port.protocol),
                                None => format!("{}/{}", port.container_port, port.protocol),
                            }).collect();
                        let addresses: Vec<&str> = container.endpoints.iter().map(|endpoint| endpoint.address.as_str()).collect();
                        let shared: Vec<&str> = container.namespaces.iter()
                            .filter(|namespace| namespace.sharing != Sharing::Own).map(|namespace| namespace.kind).collect();
                        let onclick = {
                            let (id, on_select) = (container.id.clone(), props.on_select.clone());
                            Callback::from(move |_: MouseEvent| on_select.emit(id.clone()))
                        };
                        html! {
                            <tr key={container.id.clone()}>
                                <th scope="row"><button type="button" class="link" {onclick}>{ &container.name }</button></th>
                                <td>{ &container.image }</td>
                                <td>{ container.state_text() }</td>
                                <td><code>{ &container.command }</code></td>
                                <td>{ if container.pid > 0 { container.pid.to_string() } else { "–".to_owned() } }</td>
                                <td>{ if ports.is_empty() { "–".to_owned() } else { ports.join(", ") } }</td>
                                <td>{ addresses.join(", ") }</td>
                                <td>{ if shared.is_empty() { "none".to_owned() } else { shared.join(", ") } }</td>
                            </tr>
                        }
                    }) }
                    if view.containers.is_empty() {
                        <tr><td colspan="8">{ "No containers." }</td></tr>
                    }
                </tbody>
            </table>
        </div>
    }
}
