//! The rules of `[fleet]`.

use super::*;
use crate::fleet;

#[test]
fn what_is_not_set_is_as_the_fleet_has_it_under_the_cameras_own_id() {
    let config = load_text(&with("[fleet]\nenabled = true\n"), &[]).unwrap().config;
    assert_eq!(config.fleet, Some(fleet::Options::new("a")));
    assert_eq!(load_text(MINIMAL, &[]).unwrap().config.fleet, None);
}

#[test]
fn a_camera_id_that_the_server_does_not_take_needs_a_name_for_it() {
    let text = "[camera]\nid = \"north.gate-1\"\n[capture]\nkind = \"synthetic\"\n[fleet]\nenabled = true\n";
    let found = faults(text, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("fleet.camera_id") && found[0].contains("letters, digits and _"), "{found:?}");
    let named = format!("{text}camera_id = \"CAM001\"\n");
    assert_eq!(load_text(&named, &[]).unwrap().config.fleet.unwrap().checkpoint_id, "CAM001");
}

#[test]
fn recordings_other_channels_and_a_fleet_without_its_desk_are_faults() {
    let found = faults(
        &with(
            "[control]\nenabled = false\n[fleet]\nenabled = true\nenable_recording = true\ncheckpoint_id = \"a/b\"\n",
        ),
        &[],
    );
    for key in ["fleet.enable_recording", "fleet.checkpoint_id", "fleet.enabled"] {
        assert!(found.iter().any(|fault| fault.contains(key)), "{key} is not named in {found:?}");
    }
    assert_eq!(faults(&with("[fleet]\nnotification_channels = [\"email\"]\n"), &[]).len(), 1);
}

#[test]
fn pictures_leave_only_where_that_is_set() {
    let found = faults(&with("[control]\nfull_frames_hz = 1.0\n"), &[]);
    assert!(found[0].contains("control.full_frames_hz"), "{found:?}");
    let allowed = load_text(&with("[control]\nframes = true\nfull_frames_hz = 1.0\n"), &[]).unwrap().config;
    assert!(allowed.control.unwrap().data.frames);
}
