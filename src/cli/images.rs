//! `adit images`: exactly which image runs, when it was built, and from which commit.

use super::client::{Client, Failure};
use super::exit::Exit;
use super::grid::{Align, Cell, Grid, Look, Tint, labelled};
use super::words::moment;
use super::{print, reach, tell};
use crate::control::report::{AllImages, RunningImage, ServiceImages, VersionImage, short};
use crate::domain::VersionName;

/// Where nothing is known.
const UNKNOWN: &str = "unknown";

/// Show exactly which image each version is, when it was built, from which commit, and the containers it runs in
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: adit images web\n\nEverything in full: adit images web --json")]
pub(super) struct Args {
    /// Only this service
    service: Option<String>,
    /// As JSON, in one document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: reach::Args,
}

pub(super) fn run(args: &Args) -> Exit {
    print::finish(shown(args, Look::of_stdout()))
}

fn shown(args: &Args, look: Look) -> Result<String, Failure> {
    let client = Client::new(&args.reach)?;
    let body = match &args.service {
        Some(service) => client.get(&format!("{}/images", tell::service_path(service)))?,
        None => client.get("/v1/images")?,
    };
    if args.json {
        return Ok(print::document(&body));
    }
    Ok(match &args.service {
        Some(_) => render(&client.read(&body)?, look),
        None => render_all(&client.read(&body)?, look),
    })
}

fn render_all(all: &AllImages, look: Look) -> String {
    if all.services.is_empty() {
        return "no services: neither the config nor a container names one\n".to_owned();
    }
    all.services.iter().map(|service| render(service, look)).collect::<Vec<_>>().join("\n")
}

fn render(images: &ServiceImages, look: Look) -> String {
    let service = images.service.as_str();
    images.versions.iter().map(|version| block(service, version, look)).collect::<Vec<_>>().join("\n")
}

/// All of one version.
fn block(service: &str, version: &VersionImage, look: Look) -> String {
    let name = Cell::new(format!("{service} {}", version.name), Tint::Strong).painted(look);
    let mut out = format!("{name} · {} · {}\n", Cell::plain(&version.role).text(), version.weight);
    for (label, said) in said(version) {
        let tint = if said == UNKNOWN { Tint::Warning } else { Tint::Faint };
        out.push_str(&labelled(label, tint, &said, look));
    }
    if !version.same_image.is_empty() {
        let others = version.same_image.iter().map(VersionName::as_str).collect::<Vec<_>>().join(", ");
        out.push_str(&labelled("note", Tint::Warning, &format!("the very same image as {others}"), look));
    }
    if !version.containers.is_empty() {
        out.push('\n');
        out.push_str(&containers(version).render(look));
    }
    out
}

fn said(version: &VersionImage) -> Vec<(&'static str, String)> {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let name = |image: &String| image.split('@').next().unwrap_or_default().to_owned();
    let mut said = vec![
        ("image", or_unknown(version.image.as_ref().map(name))),
        ("id", or_unknown(id(version))),
        ("built", or_unknown(version.created.as_deref().map(moment))),
        ("commit", or_unknown(version.revision.clone())),
        ("source", or_unknown(version.source.clone())),
    ];
    if !version.endpoints.is_empty() {
        said.push(("at", version.endpoints.join(", ")));
    } else if version.containers.is_empty() {
        said.push(("at", "no container".to_owned()));
    }
    said
}

/// What the engine and what registries know it by.
fn id(version: &VersionImage) -> Option<String> {
    let digest = version.digest.as_deref().map(|digest| format!("digest {}", short(digest)));
    let id = version.image_id.as_deref().map(|id| short(id).to_owned());
    let known: Vec<_> = id.into_iter().chain(digest).collect();
    (!known.is_empty()).then(|| known.join(" · "))
}

fn containers(version: &VersionImage) -> Grid {
    let mut grid = Grid::new(&[
        ("CONTAINER", Align::Left),
        ("ID", Align::Left),
        ("ADDRESS", Align::Left),
        ("STATE", Align::Left),
        ("IMAGE", Align::Left),
        ("REASON", Align::Left),
    ]);
    for RunningImage { container, address, state, reason } in &version.containers {
        let tint = match state.as_str() {
            "ready" => Tint::Good,
            "down" | "ejected" | "unhealthy" | "exited" => Tint::Bad,
            _ => Tint::Warning,
        };
        // The same image may run under another name.
        let other = version.image.as_ref() != Some(&container.image);
        grid.push([
            Cell::plain(&container.name),
            Cell::plain(container.short_id()),
            Cell::plain(address.as_deref().unwrap_or_default()),
            Cell::new(state, tint),
            Cell::plain(if other { container.image.as_str() } else { "" }),
            Cell::plain(reason),
        ]);
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::grid::Colour;
    use super::*;
    use crate::control::report::ContainerStatus;
    use crate::domain::Weight;

    const PLAIN: Look = Look { width: None, colour: Colour::None, terminal: false };

    fn bare(name: &str, role: &str, weight: Weight) -> VersionImage {
        VersionImage {
            name: name.into(),
            role: role.into(),
            weight,
            image: None,
            digest: None,
            image_id: None,
            created: None,
            revision: None,
            source: None,
            same_image: Vec::new(),
            containers: Vec::new(),
            endpoints: vec!["10.0.0.7:80".into()],
        }
    }

    fn running(name: &str, state: &str, reason: &str) -> RunningImage {
        let container = ContainerStatus {
            name: name.into(),
            id: "0123456789abcdef".repeat(4),
            image: "r.example/web:1.4.0".into(),
            image_id: format!("sha256:{}", "4f2a91c0d3b75e68".repeat(4)),
        };
        let address = (state == "ready").then(|| "172.17.0.3:8080".to_owned());
        RunningImage { container, address, state: state.into(), reason: reason.into() }
    }

    fn known() -> VersionImage {
        VersionImage {
            image: Some("r.example/web:1.4.0".into()),
            digest: Some(format!("sha256:{}", "60303ae22b998861".repeat(4))),
            image_id: Some(format!("sha256:{}", "4f2a91c0d3b75e68".repeat(4))),
            created: Some("2024-04-30T18:00:00Z".into()),
            revision: Some("8c1d2e3f4a5b6c7d8e9f8c1d2e3f4a5b6c7d8e9f".into()),
            source: Some("https://git.example/shop/web".into()),
            same_image: vec!["1.4.0-hot".into()],
            containers: vec![
                running("shop-web-1", "ready", "passes its checks"),
                running("shop-web-2", "exited", "ended with exit code 1"),
            ],
            endpoints: Vec::new(),
            ..bare("1.4.0", "stable", Weight::FULL)
        }
    }

    #[test]
    fn everything_that_is_known_of_an_image_is_shown_and_the_rest_is_said_to_be_unknown() {
        let images = ServiceImages {
            service: "web".into(),
            versions: vec![known(), bare("1.5.0", "canary", Weight::ZERO)],
        };
        let expected = "\
web 1.4.0 · stable · 100 %
  image    r.example/web:1.4.0
  id       4f2a91c0d3b7 · digest 60303ae22b99
  built    2024-04-30 18:00:00 UTC
  commit   8c1d2e3f4a5b6c7d8e9f8c1d2e3f4a5b6c7d8e9f
  source   https://git.example/shop/web
  note     the very same image as 1.4.0-hot

  CONTAINER   ID            ADDRESS          STATE   REASON
  shop-web-1  0123456789ab  172.17.0.3:8080  ready   passes its checks
  shop-web-2  0123456789ab                   exited  ended with exit code 1

web 1.5.0 · canary · 0 %
  image    unknown
  id       unknown
  built    unknown
  commit   unknown
  source   unknown
  at       10.0.0.7:80
";
        let shown = render(&images, PLAIN);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_of_100_columns() {
        let mut version = known();
        version.containers[0].container.name = "a-project-with-a-long-name-web-canary-with-a-suffix-1".into();
        version.containers[1].container.image = "registry.example:5000/team/shop/web:1.4.0-rc.1".into();
        let shown = block("web", &version, Look { width: Some(100), ..PLAIN });
        for line in shown.lines() {
            assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
        }
        assert!(shown.contains("suffix-1"), "the end of a name tells containers apart: {shown}");
    }

    #[test]
    fn what_containers_are_called_does_not_command_the_terminal() {
        let mut version = known();
        version.containers[0].container.name = "web\x1b[2J".into();
        version.source = Some("https://x/\x1b]0;y\x07".into());
        let shown = block("web", &version, PLAIN);
        assert!(!shown.contains('\x1b') && !shown.contains('\x07'), "{shown:?}");
    }
}
