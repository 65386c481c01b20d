//! The whole driver without a socket or a disk, under a paused clock.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use part2part::servent::memory::MemoryNetwork;
use part2part::servent::report::{
    DownloadRequest, DownloadState, DownloadTarget, News, PortMapping, Reach, SearchEnd,
    SearchEvent, SearchRequest,
};
use part2part::servent::{JoinTarget, Knob, Place, Servent, Settings, Tuning};
use part2part::store::MemoryDisk;
use part2part::transfer::Priority;

struct Mesh {
    network: MemoryNetwork,
    disks: Vec<MemoryDisk>,
    servents: Vec<Servent>,
}

fn settings(number: u8) -> Settings {
    Settings {
        ignore: Vec::new(),
        state: "/state".into(),
        downloads: "/downloads".into(),
        home: None,
        listen: Some(SocketAddr::new(address(number), 7272)),
        announce: None,
        network: None,
        manual: true,
        tuning: Tuning { name: format!("s{number}"), ..Tuning::default() },
        ephemeral: true,
    }
}

fn address(number: u8) -> IpAddr {
    IpAddr::from([198, 18, 0, number])
}

impl Mesh {
    /// Servents in a line, each with a file of its own.
    async fn line(count: u8) -> Self {
        let mut mesh =
            Self { network: MemoryNetwork::new(), disks: Vec::new(), servents: Vec::new() };
        for number in 1..=count {
            let disk = MemoryDisk::new();
            disk.put(format!("/files/song {number}.txt"), &vec![number; 300_000]);
            let network = Arc::new(mesh.network.at(address(number)));
            let disks = Arc::new(disk.clone());
            let seed = Some([number; 32]);
            let servent = Servent::start_on(settings(number), network, disks, seed).await.unwrap();
            let (progress, _) = tokio::sync::mpsc::channel(1);
            servent.publish("/files".into(), false, progress).await.unwrap();
            if number > 1 {
                let host = address(number - 1).to_string();
                let target =
                    JoinTarget { id: None, places: vec![Place { host, port: 7272 }], key: None };
                servent.join(Some(target)).await.unwrap();
            }
            mesh.disks.push(disk);
            mesh.servents.push(servent);
        }
        mesh
    }
}

async fn search(servent: &Servent, text: &str, reach: Reach) -> (Vec<u16>, SearchEnd) {
    let request = SearchRequest { text: text.to_owned(), reach, enough: 50, trace: false };
    let mut events = servent.search(request).await.unwrap();
    let mut hops = Vec::new();
    loop {
        match events.recv().await.unwrap() {
            SearchEvent::Hit(hit) => hops.push(hit.hops),
            SearchEvent::Trace(_) => {}
            SearchEvent::End(end) => return (hops, end),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_found_at_the_far_end_of_a_line_and_downloaded() {
    let mesh = Mesh::line(5).await;
    let (hops, end) = search(&mesh.servents[0], "song", Reach::Rings).await;
    assert_eq!(hops.len(), 4);
    assert_eq!((end.asked, end.lost, end.by_timer), (4, 0, false), "{end:?}");

    let (hops, end) = search(&mesh.servents[0], "song 5", Reach::All).await;
    assert_eq!((hops, end.asked), (vec![4], 4));
    let target = DownloadTarget::Result(1);
    let request = DownloadRequest { target, to: None, once: false, priority: Priority::Normal };
    let begun = mesh.servents[0].download(request).await.unwrap();
    let ended = mesh.servents[0].download_ended(begun.number).await.unwrap();
    let DownloadState::Done { path } = ended.state else { panic!("{ended:?}") };
    assert_eq!(mesh.disks[0].contents(path).unwrap(), vec![5; 300_000]);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_bounds_whom_a_search_asks() {
    let mesh = Mesh::line(6).await;
    for ttl in 1..=5 {
        let (_, end) = search(&mesh.servents[0], "song", Reach::Ttl(ttl)).await;
        assert_eq!(end.asked, u64::from(ttl));
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_forgotten() {
    let mesh = Mesh::line(3).await;
    assert_eq!(mesh.servents[2].leave().await, 1);
    let left = async {
        while mesh.servents[1].peers().await.len() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), left).await.unwrap();
    let (_, end) = search(&mesh.servents[0], "song", Reach::All).await;
    assert_eq!(end.asked, 1);
}

#[tokio::test(start_paused = true)]
async fn servents_of_one_network_meet_without_anybody_being_named() {
    let network = MemoryNetwork::new();
    let start = async |number: u8, lan: bool| {
        let mut settings = Settings { manual: false, ..settings(number) };
        settings.tuning.lan = lan;
        let network = Arc::new(network.at(address(number)));
        let disk = Arc::new(MemoryDisk::new());
        Servent::start_on(settings, network, disk, Some([number; 32])).await.unwrap()
    };
    let within = Duration::from_secs(60);
    let (attic, cellar, desk) = (start(1, true).await, start(2, false).await, start(3, true).await);
    assert!(attic.has_neighbour(within).await && desk.has_neighbour(within).await);
    assert!(!cellar.has_neighbour(within).await, "it does not look");
    assert_eq!((attic.status().await.lan, cellar.status().await.lan), (Some(1), None));

    let mut news = cellar.news();
    cellar.set(Knob::Lan, "on").await.unwrap();
    assert!(cellar.has_neighbour(within).await);
    let told = async {
        loop {
            if let News::Notice { text } = news.recv().await.unwrap() {
                return text;
            }
        }
    };
    let told = tokio::time::timeout(within, told).await.unwrap();
    let names = [&attic, &desk].map(|servent| servent.id().short());
    let fits = |name, id| told == format!("joined {name}~{id}, found on this network");
    assert!(fits("s1", &names[0]) || fits("s3", &names[1]), "{told}");

    cellar.set(Knob::Lan, "off").await.unwrap();
    let off = async {
        while cellar.status().await.lan.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(within, off).await.unwrap();
    assert!(!cellar.peers().await.is_empty(), "whom it has met it keeps");
    let gone = async {
        while attic.status().await.lan != Some(1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(within, gone).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_port_of_the_router_is_told_to_others_renewed_and_given_back() {
    let network = MemoryNetwork::new();
    let outside = "203.0.113.9:40000".parse().unwrap();
    network.route(Some(outside));
    let mut settings = settings(1);
    settings.tuning.map_port = true;
    let (own, disk) = (Arc::new(network.at(address(1))), Arc::new(MemoryDisk::new()));
    let servent = Servent::start_on(settings, own, disk, Some([1; 32])).await.unwrap();
    let reaches = async |wanted: fn(&PortMapping) -> bool| {
        let waiting = async {
            while !servent.status().await.port_mapping.as_ref().is_some_and(wanted) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(4 * 3600), waiting).await.unwrap();
    };
    let mapped = |mapping: &PortMapping| matches!(mapping, PortMapping::Mapped { .. });
    reaches(mapped).await;
    assert_eq!(servent.status().await.addresses.first(), Some(&outside));
    assert!(servent.invitation(false).line.contains("@203.0.113.9:40000,"));

    tokio::time::sleep(Duration::from_secs(3_700)).await;
    assert_eq!(network.routed(), (2, 0), "renewed at half of its life");

    let mut news = servent.news();
    network.route(None);
    let failed = |mapping: &PortMapping| matches!(mapping, PortMapping::Failed { .. });
    reaches(failed).await;
    assert!(!servent.status().await.addresses.contains(&outside));
    let (asked, _) = network.routed();
    assert!((4..20).contains(&asked), "asked {asked} times until it ran out");
    tokio::time::sleep(Duration::from_secs(10 * 3600)).await;
    assert!(network.routed().0 < asked + 25, "asked {} times", network.routed().0);
    let told = std::iter::from_fn(|| news.try_recv().ok()).collect::<Vec<_>>();
    let [News::Notice { text }] = told.as_slice() else { panic!("{told:?}") };
    assert!(text.starts_with("no port is mapped: no gateway answers (tried PCP"), "{text}");
    assert!(text.ends_with("; forward TCP port 7272 in the router by hand"), "{text}");

    network.route(Some(outside));
    reaches(mapped).await;
    servent.stop().await;
    assert_eq!(network.routed().1, 1, "given back");
}
