//! Why a root file system is not mounted.

use std::sync::Arc;

use super::differences::Differences;
use super::reasons::Explanation;
use super::{Closest, Difference, Field};
use crate::native::objects::Container;
use crate::native::points::Rules;
use crate::question;

/// In place of the digest of a layer that is not there.
const NOT_MOUNTED: &str = "not mounted";

pub(super) fn mount_overlay(rules: Rules<'_>, question: &question::MountOverlay<'_>) -> Explanation {
    let mut explanation = Explanation::default();
    if rules.overlay_mounted(question) {
        explanation.reasons.push("overlay has already been mounted".to_owned());
    }
    if rules.overlay_candidates(&question.layer_paths).is_empty() {
        explanation.reasons.push("no matching containers for overlay".to_owned());
        explanation.closest = closest(rules, &question.layer_paths);
    }
    explanation
}

/// The container with the most layers in place.
fn closest(rules: Rules<'_>, paths: &[&str]) -> Option<Closest> {
    // Base first, as policies list them.
    let mounted: Vec<Option<&str>> =
        paths.iter().rev().map(|path| rules.state.devices.get(*path).map(AsRef::as_ref)).collect();
    let alike = |container: &Container| {
        let layers = container.layers.iter().zip(&mounted);
        let in_place = layers.filter(|(layer, mounted)| **mounted == Some(&***layer)).count();
        (in_place, container.layers.len() == mounted.len())
    };
    let mut closest: Option<(&Arc<Container>, (usize, bool))> = None;
    for container in rules.policy.containers.iter().chain(&rules.state.fragments.containers) {
        let alike = alike(container);
        if closest.is_none_or(|(_, most)| alike > most) {
            closest = Some((container, alike));
        }
    }
    closest.map(|(container, _)| {
        let mut differences = Differences::default();
        differences.add(layers(&container.layers, paths, &mounted));
        let fields = (Vec::new(), vec![Field::Layers]);
        super::container::of_container(rules, container, None, fields, differences)
    })
}

/// The layers that differ, counted from the base.
fn layers<'a>(
    expected: &'a [Arc<str>],
    paths: &'a [&'a str],
    mounted: &'a [Option<&'a str>],
) -> impl Iterator<Item = Difference> + 'a {
    (0..expected.len().max(mounted.len())).filter_map(move |place| {
        let (expected, given) = (expected.get(place), mounted.get(place));
        let given = given.map(|digest| digest.unwrap_or(NOT_MOUNTED));
        (expected.map(AsRef::as_ref) != given).then(|| {
            let path = paths.iter().rev().nth(place);
            Difference {
                expected: expected.map(|layer| layer.to_string()),
                given: given.map(str::to_owned),
                ..Difference::of(Field::Layers).at(match path {
                    Some(path) => format!("layer {place} ({path})"),
                    None => format!("layer {place}"),
                })
            }
        })
    })
}
