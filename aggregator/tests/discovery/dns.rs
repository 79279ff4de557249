//! A name server on loopback, with as much of the protocol as a stub resolver needs.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SRV},
    },
};
use synod_aggregator::discovery::{Discovery, Dns, Records};
use tokio::{
    net::UdpSocket,
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

use crate::contract::{Backend, check};

const HOUR: Duration = Duration::from_secs(3600);

struct NameServer {
    address: SocketAddr,
    records: Records,
    longest: Duration,
    zone: Arc<Zone>,
    _serving: JoinSet<()>,
}

struct Zone {
    ttl: u32,
    nodes: Mutex<Vec<SocketAddr>>,
    away: Mutex<bool>,
    asked_in_vain: Notify,
}

impl NameServer {
    async fn start(records: Records, ttl: u32, longest: Duration) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone =
            Arc::new(Zone { ttl, nodes: Mutex::default(), away: Mutex::default(), asked_in_vain: Notify::new() });
        let mut serving = JoinSet::new();
        let _: AbortHandle = serving.spawn(serve(socket, Arc::clone(&zone)));
        Self { address, records, longest, zone, _serving: serving }
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Zone>) {
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let answer = zone.answer(&Message::from_vec(&buffer[..length]).unwrap());
        socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
    }
}

impl Zone {
    fn answer(&self, query: &Message) -> Message {
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata.recursion_available = true;
        let question = query.queries[0].clone();
        if *self.away.lock().unwrap() {
            answer.metadata.response_code = ResponseCode::ServFail;
            self.asked_in_vain.notify_one();
        } else {
            answer.answers = self.records(question.name(), question.query_type());
        }
        answer.queries = vec![question];
        answer
    }

    /// Node i is called `node-i.test`, and all of them `nodes.test`.
    fn records(&self, name: &Name, kind: RecordType) -> Vec<Record> {
        let nodes = self.nodes.lock().unwrap().clone();
        let record = |data| Record::from_rdata(name.clone(), self.ttl, data);
        let target = |at: usize| Name::from_ascii(format!("node-{at}.test.")).unwrap();
        let is_meant = |at: usize| name.to_ascii().starts_with("nodes.") || *name == target(at);
        let nodes = nodes.iter().enumerate();
        match kind {
            RecordType::A => nodes
                .filter(|(at, _)| is_meant(*at))
                .filter_map(|(_, node)| match node {
                    SocketAddr::V4(node) => Some(record(RData::A(A(*node.ip())))),
                    SocketAddr::V6(_) => None,
                })
                .collect(),
            RecordType::SRV => {
                nodes.map(|(at, node)| record(RData::SRV(SRV::new(0, 0, node.port(), target(at))))).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Backend for NameServer {
    async fn set(&mut self, nodes: &[&str]) {
        *self.zone.nodes.lock().unwrap() = nodes.iter().map(|node| node.parse().unwrap()).collect();
    }

    fn discovery(&self) -> Box<dyn Discovery> {
        Box::new(Dns::new(self.records.clone(), &[self.address], self.longest).unwrap())
    }

    async fn go_away(&mut self) {
        *self.zone.away.lock().unwrap() = true;
        self.zone.asked_in_vain.notified().await;
    }

    async fn come_back(&mut self) {
        *self.zone.away.lock().unwrap() = false;
    }
}

#[tokio::test]
async fn addresses_that_are_good_for_a_second_are_asked_for_again_after_it() {
    let records = Records::Addresses { name: "nodes.test.".to_owned(), port: 7610 };
    check(NameServer::start(records, 1, HOUR).await).await;
}

#[tokio::test]
async fn services_that_claim_to_be_good_for_an_hour_are_asked_for_as_often_as_configured() {
    let records = Records::Services { name: "_synod._tcp.nodes.test.".to_owned() };
    check(NameServer::start(records, 3600, Duration::from_secs(1)).await).await;
}
