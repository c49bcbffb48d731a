//! The board as a screen: cameras above, tracks on the left, alerts, events and votes on the right.
//!
//! Draws what fits; how much does not is said in the titles. Colours only underline what the words say, so
//! that a terminal without them shows the same.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

use super::board::{Board, Camera, severity};
use crate::base::{Time, rfc3339};
use crate::model::Severity;
use crate::swarm::message::AlertState;

const FAINT: Style = Style::new().fg(Color::DarkGray);
const GOOD: Style = Style::new().fg(Color::Green);
const WARM: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws one picture; `link` is how the connection is.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, link: &str, now: Time) {
    let cameras = u16::try_from(board.cameras.len()).unwrap_or(u16::MAX).saturating_add(3);
    let [head, top, below] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(cameras.min(frame.area().height / 2)),
        Constraint::Min(3),
    ])
    .areas(frame.area());
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(42), Constraint::Percentage(58)]).areas(below);
    let [alerts, events, votes] = Layout::vertical([
        Constraint::Percentage(30),
        Constraint::Percentage(40),
        Constraint::Percentage(30),
    ])
    .areas(right);
    let online = board.cameras.values().filter(|camera| camera.online).count();
    let unreadable = match board.unreadable {
        0 => String::new(),
        count => format!("  {count} messages could not be read"),
    };
    // What may be long comes last: a narrow screen cuts it.
    let title = format!("OmniSight  {}  q: leave  {online} online{unreadable}  {link}", clock(now.epoch_ms));
    frame.render_widget(Paragraph::new(Line::styled(title, HEAD)), head);
    draw_cameras(frame, board, top, now);
    draw_tracks(frame, board, left);
    draw_alerts(frame, board, alerts);
    draw_events(frame, board, events);
    draw_votes(frame, board, votes);
}

/// The time of the day.
fn clock(epoch_ms: u64) -> String {
    rfc3339(epoch_ms).get(11..19).unwrap_or_default().to_owned()
}

fn table<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    head: &[&'static str],
    widths: &[u16],
    rows: impl ExactSizeIterator<Item = Row<'a>>,
) {
    let room = usize::from(area.height.saturating_sub(3));
    let more = rows.len().saturating_sub(room);
    let title = if more > 0 { format!(" {title} ({more} more) ") } else { format!(" {title} ") };
    // The last column takes what is left.
    let widths = widths.iter().enumerate().map(|(index, width)| {
        if index + 1 == widths.len() { Constraint::Min(*width) } else { Constraint::Length(*width) }
    });
    let table = Table::new(rows.take(room), widths)
        .header(Row::new(head.iter().copied()).style(FAINT))
        .block(Block::bordered().border_style(FAINT).title(title));
    frame.render_widget(table, area);
}

fn draw_cameras(frame: &mut Frame<'_>, board: &Board, area: Rect, now: Time) {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let row = |(id, camera): (&String, &Camera)| {
        let (word, style) = match (camera.online, camera.modes.is_empty()) {
            (true, true) => ("online", GOOD),
            (true, false) => ("degraded", WARM),
            (false, _) => ("offline", BAD),
        };
        let heard =
            camera.heard.map_or_else(|| "-".to_owned(), |at| format!("{} s", now.since(at).as_secs()));
        Row::new([
            Cell::from(id.clone()),
            Cell::from(word).style(style),
            Cell::from(camera.status.clone().unwrap_or_else(|| "-".to_owned())),
            Cell::from(board.tracks_of(id).to_string()),
            Cell::from(number(camera.fps)),
            Cell::from(number(camera.inference_ms)),
            Cell::from(camera.lost.to_string()),
            Cell::from(heard),
            Cell::from(if camera.modes.is_empty() {
                camera.ground.to_owned()
            } else {
                camera.modes.join(" ")
            }),
        ])
    };
    let head = ["camera", "health", "status", "tracks", "fps", "ms", "lost", "heard", "modes, ground"];
    let widths = [20, 9, 13, 7, 6, 6, 7, 7, 12];
    table(frame, area, "cameras", &head, &widths, board.cameras.iter().map(row));
}

fn draw_tracks(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let rows = board.tracks.iter().map(|((camera, id), track)| {
        let [x, y] = track.place_m;
        let style = if track.threat >= 0.5 { WARM } else { Style::new() };
        Row::new([
            format!("{camera}/{id}"),
            track.class.to_owned(),
            track.global_id.map_or_else(String::new, |id| id.to_string()),
            format!("{x:.1} {y:.1}"),
            format!("{:.1}", track.speed_mps),
            format!("{:.2}", track.threat),
        ])
        .style(style)
    });
    let head = ["track", "class", "person", "place m", "m/s", "threat"];
    table(frame, area, "tracks", &head, &[14, 8, 7, 12, 5, 6], rows);
}

fn draw_alerts(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let rows = board.alerts.iter().map(|alert| {
        let style = match (alert.state, alert.severity) {
            (AlertState::Over | AlertState::Retracted, _) => FAINT,
            (_, Severity::Critical) => BAD,
            (_, Severity::High) => WARM,
            _ => Style::new(),
        };
        Row::new([
            clock(alert.updated_ms),
            alert.state.as_str().to_owned(),
            alert.severity.as_str().to_owned(),
            alert.text.clone(),
        ])
        .style(style)
    });
    table(frame, area, "alerts", &["time", "state", "severity", "alert"], &[9, 10, 9, 20], rows);
}

fn draw_events(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let rows = board.events.iter().map(|event| {
        let style = match event.severity {
            4 => BAD,
            3 => WARM,
            _ => Style::new(),
        };
        Row::new([
            clock(event.at_ms),
            format!("{}/{}", event.camera, event.id),
            event.kind.to_owned(),
            event.state.to_owned(),
            severity(event.severity).to_owned(),
            format!("{:.2}", event.probability),
            event.zone.clone(),
        ])
        .style(style)
    });
    let head = ["time", "event", "kind", "state", "severity", "p", "zone"];
    table(frame, area, "events", &head, &[9, 14, 15, 10, 9, 5, 6], rows);
}

fn draw_votes(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let rows = board.votes.iter().map(|vote| {
        Row::new([
            clock(vote.at_ms),
            vote.about.clone(),
            vote.by.clone(),
            vote.says.clone(),
            format!("{:.2}", vote.confidence),
        ])
    });
    table(frame, area, "votes", &["time", "event", "by", "says", "confidence"], &[9, 14, 14, 11, 10], rows);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::board::tests::{at, heard};
    use super::*;

    fn screen(width: u16, height: u16) -> String {
        let (board, _) = heard();
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &board, "broker connected", at(2))).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_shows_cameras_tracks_alerts_events_votes_and_health() {
        let screen = screen(120, 24);
        for wanted in [
            "broker connected",
            "1 online",
            "degraded",
            "running",
            "link_slow",
            "10.0",
            "gate/7",
            "loitering",
            "high",
            "dock",
            "yard",
            "confirms",
            "happening",
            "Loitering in zone",
        ] {
            assert!(screen.contains(wanted), "{wanted} is not in\n{screen}");
        }
    }

    #[test]
    fn any_size_of_a_terminal_is_drawn() {
        for (width, height) in [(1, 1), (20, 5), (40, 12), (300, 80)] {
            screen(width, height);
        }
    }
}
