//! `part2part sim`: what a mesh costs and reaches, told before anybody builds it.
//!
//! The flags become a plan, a thread carries it out, and what came of it is printed, and
//! drawn if wanted. Nothing of it touches the network. The simulation itself, which has no
//! clock and no disk, is [`crate::sim`]; pictures are [`crate::plot`].

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::args::SimArgs;
use crate::base::escape::Escaped;
use crate::command::Exit;
use crate::config::{self, ConfigError};
use crate::plot::{self, PlotError};
use crate::sim::plan::{self, GROWN_UNASKED};
use crate::sim::{CrowdError, Plan, PlanError, Progress, Stage, Topology, curves};

mod bar;
mod crowd;
mod mine;
mod text;

use bar::Bar;
use mine::{Mine, MineError};

/// How often the bar is drawn anew.
const TICK: Duration = Duration::from_millis(100);
/// What the memory of a machine is for besides a simulation: the estimate is rough.
const SPARE: u64 = 256 * 1024 * 1024;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum SimError {
    #[error("{0}")]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Crowd(#[from] CrowdError),
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Mine(#[from] MineError),
    #[error("--plot {}: the picture is an SVG file, so its name ends in .svg", shown(.0))]
    NotSvg(PathBuf),
    #[error("--plot {}: {} is no folder", shown(.0), shown(.1))]
    NoFolder(PathBuf, PathBuf),
    #[error("{0}")]
    Plot(#[from] PlotError),
    #[error("cannot write {}: {source}", shown(.path))]
    Write { path: PathBuf, source: io::Error },
    #[error("the simulation broke off: {0}")]
    Broken(tokio::task::JoinError),
}

fn shown(path: &Path) -> String {
    Escaped(&path.display().to_string()).to_string()
}

impl SimError {
    fn exit(&self) -> Exit {
        match self {
            Self::Plan(_)
            | Self::Crowd(_)
            | Self::Config(_)
            | Self::NotSvg(_)
            | Self::NoFolder(..) => Exit::Usage,
            Self::Mine(_) | Self::Plot(_) | Self::Write { .. } | Self::Broken(_) => Exit::Failed,
        }
    }
}

/// Simulates what `args` ask for and tells what came of it; Ctrl-C ends it at once.
pub async fn simulate(args: SimArgs) -> Exit {
    let ended = tokio::select! {
        ended = report(args) => ended,
        // The thread that simulates goes on until the process ends, which is now.
        _ = tokio::signal::ctrl_c() => {
            bar::erase();
            return Exit::Interrupted;
        }
    };
    ended.unwrap_or_else(|error| {
        // Nobody reads: the exit code tells.
        let _ = writeln!(io::stderr().lock(), "error: {error}");
        error.exit()
    })
}

async fn report(args: SimArgs) -> Result<Exit, SimError> {
    if let Some(receivers) = args.crowd.crowd {
        let plan = crowd::plan_of(&args, receivers)?;
        plan.check()?;
        return crowd::report(&args, plan).await;
    }
    let mine = if args.like_mine {
        let mine = Mine::ask(&config::state(&args.state)?).await?;
        let _ = writeln!(io::stderr().lock(), "{mine}");
        Some(mine)
    } else {
        None
    };
    let plan = plan_of(&args, mine.as_ref())?;
    plan.check(free_memory().map(|free| free.saturating_sub(SPARE)))?;
    if let Some(path) = &args.plot {
        check_place(path)?;
    }
    let drawn = args.plot.is_some();
    let (report, picture) = carry_out(Stage::Building, move |watch| {
        let (report, links) = crate::sim::run(&plan, watch);
        let picture = drawn.then(|| plot::draw(&report, &curves(&plan, watch), &links));
        (report, picture)
    })
    .await?;
    let told = if args.json {
        format!("{}\n", report.to_json())
    } else {
        text::text(&report, bar::columns(io::stdout()))
    };
    tell(&args, &told, picture)
}

type Picture = Result<String, PlotError>;

/// Writes the picture, if there is one, and then what came of the simulation.
fn tell(args: &SimArgs, told: &str, picture: Option<Picture>) -> Result<Exit, SimError> {
    if let (Some(path), Some(picture)) = (&args.plot, picture) {
        place(path, picture?.as_bytes())
            .map_err(|source| SimError::Write { path: path.clone(), source })?;
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(told.as_bytes()).and_then(|()| out.flush());
    Ok(if written.is_ok() { Exit::Done } else { Exit::Failed })
}

/// Simulates on a thread of its own, with a bar for whoever watches.
async fn carry_out<T: Send + 'static>(
    first: Stage,
    simulation: impl FnOnce(&mut dyn FnMut(Progress)) -> T + Send + 'static,
) -> Result<T, SimError> {
    let start = Progress { stage: first, done: 0, of: 1 };
    let progress = Arc::new(Mutex::new(start));
    let told = Arc::clone(&progress);
    let mut work = tokio::task::spawn_blocking(move || {
        simulation(&mut |now| *told.lock().unwrap_or_else(PoisonError::into_inner) = now)
    });
    if !io::stderr().is_terminal() {
        return work.await.map_err(SimError::Broken);
    }
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut bar = Bar::default();
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                bar::erase();
                return done.map_err(SimError::Broken);
            }
            _ = ticks.tick() => {
                bar.draw(*progress.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

/// What the flags ask for; what they leave open is as `mine`, or as usual.
fn plan_of(args: &SimArgs, mine: Option<&Mine>) -> Result<Plan, PlanError> {
    let usual = Plan::default();
    let nodes = args.nodes.or(mine.and_then(|mine| mine.nodes)).unwrap_or(usual.nodes);
    let topology = match &args.topology {
        Some(shape) => shape.parse()?,
        None if nodes > GROWN_UNASKED => Topology::Random,
        None => usual.topology,
    };
    if args.degree.is_some() && !topology.has_degree() {
        return Err(PlanError::OwnDegree(topology.name()));
    }
    // What nobody chose is made to fit a small mesh.
    let unasked = mine.and_then(|mine| mine.degree).unwrap_or(usual.degree);
    let degree = args.degree.unwrap_or(unasked.min(nodes.saturating_sub(1)).max(1));
    let latency = match &args.latency {
        Some(latency) => latency.parse()?,
        None => mine.and_then(|mine| mine.latency).unwrap_or(usual.latency),
    };
    let replication = args.replication.unwrap_or(usual.replication.min(nodes).max(1));
    let shared = mine.and_then(|mine| mine.files_each).map(|each| {
        let copies = (each * nodes as f64).min(plan::MAX_COPIES as f64);
        ((copies / replication.max(1) as f64) as usize).max(1)
    });
    Ok(Plan {
        nodes,
        degree,
        topology,
        latency,
        loss: args.loss,
        churn: args.churn,
        kill_fraction: args.kill_fraction,
        files: args.files.or(shared).unwrap_or(usual.files),
        replication,
        queries: args.queries,
        rings: plan::rings(&args.ttl)?,
        seed: args.seed,
    })
}

/// Memory that the system could give, in bytes; none where it does not tell.
fn free_memory() -> Option<u64> {
    let told = fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Whether a picture can have this name: told before anybody waits for it.
fn check_place(path: &Path) -> Result<(), SimError> {
    let svg = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    if !svg {
        return Err(SimError::NotSvg(path.to_owned()));
    }
    let folder = folder_of(path);
    if folder.is_dir() {
        Ok(())
    } else {
        Err(SimError::NoFolder(path.to_owned(), folder.to_owned()))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes the file as a whole or not at all; one that is there already is replaced.
fn place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let half = folder_of(path).join(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&half, bytes).and_then(|()| fs::rename(&half, path));
    if written.is_err() {
        let _ = fs::remove_file(&half);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> SimArgs {
        SimArgs {
            replication: None,
            queries: 20,
            ttl: "rings".to_owned(),
            seed: 1,
            ..SimArgs::default()
        }
    }

    #[test]
    fn no_flags_mean_the_usual_plan() {
        assert_eq!(plan_of(&args(), None), Ok(Plan::default()));
    }

    #[test]
    fn large_meshes_are_drawn_and_small_ones_grow_unless_told() {
        let large = SimArgs { nodes: Some(GROWN_UNASKED + 1), ..args() };
        assert_eq!(plan_of(&large, None).unwrap().topology, Topology::Random);
        let told = SimArgs { topology: Some("grown".to_owned()), ..large };
        assert_eq!(plan_of(&told, None).unwrap().topology, Topology::Grown);
        let tiny = SimArgs { nodes: Some(4), ..args() };
        assert_eq!(plan_of(&tiny, None).unwrap().degree, 3, "nobody asked for 8");
    }

    #[test]
    fn a_shape_with_degrees_of_its_own_takes_none() {
        let ring = SimArgs { degree: Some(4), topology: Some("ring".to_owned()), ..args() };
        assert_eq!(plan_of(&ring, None), Err(PlanError::OwnDegree("ring")));
    }

    #[test]
    fn flags_go_before_what_my_servent_is_like() {
        let latency = "spread:7ms".parse().unwrap();
        let mut mine = Mine::default();
        (mine.degree, mine.latency, mine.files_each) = (Some(6), Some(latency), Some(12.0));
        let plan = plan_of(&SimArgs { nodes: Some(500), ..args() }, Some(&mine)).unwrap();
        assert_eq!((plan.degree, plan.latency, plan.files), (6, latency, 2000));
        let given = SimArgs { degree: Some(4), files: Some(7), ..args() };
        let plan = plan_of(&given, Some(&mine)).unwrap();
        assert_eq!((plan.degree, plan.files), (4, 7));
    }

    #[test]
    fn a_picture_has_its_ending_and_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(check_place(&at("a.svg")).is_ok() && check_place(&at("A.SVG")).is_ok());
        assert!(matches!(check_place(&at("a.png")), Err(SimError::NotSvg(_))));
        assert!(matches!(check_place(&at("svg")), Err(SimError::NotSvg(_))));
        assert!(matches!(check_place(&at("b/a.svg")), Err(SimError::NoFolder(..))));
        place(&at("a.svg"), b"old").unwrap();
        place(&at("a.svg"), b"new").unwrap();
        assert_eq!(fs::read(at("a.svg")).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half is left");
    }
}
