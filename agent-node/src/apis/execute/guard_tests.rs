use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Says something else every time, as a rebinding name server does.
#[derive(Debug)]
struct Rebinding(AtomicUsize, &'static [&'static str]);

impl Lookup for Rebinding {
    fn lookup(&self, _: &str) -> BoxFuture<'_, std::io::Result<Vec<IpAddr>>> {
        let at = self.0.fetch_add(1, Ordering::Relaxed) % self.1.len();
        Box::pin(async move { Ok(self.1[at].split(' ').map(|address| address.parse().unwrap()).collect()) })
    }
}

fn guard(answers: &'static [&'static str]) -> Guard {
    Guard { hosts: Vec::new(), networks: Vec::new(), lookup: Arc::new(Rebinding(AtomicUsize::new(0), answers)) }
}

async fn check(guard: &Guard, url: &str) -> Result<Target, Refusal> {
    guard.check(&url.parse().unwrap()).await
}

#[tokio::test]
async fn an_address_off_the_public_internet_is_refused_however_it_is_written() {
    let guard = guard(&["1.1.1.1"]);
    let urls = "http://127.0.0.1/ http://2130706433/ http://0x7f.1/ http://0177.0.0.1/ https://[::1]/ https://[::ffff:127.0.0.1]/ \
         http://169.254.169.254/latest/meta-data/ https://[fd00:ec2::254]/ http://100.64.0.1/ https://[64:ff9b::7f00:1]/";
    for url in urls.split_whitespace() {
        let refused = check(&guard, url).await;
        assert!(matches!(refused, Err(Refusal::Address { .. })), "{url}: {refused:?}");
    }
    assert!(check(&guard, "https://1.1.1.1/").await.is_ok());
}

#[tokio::test]
async fn a_name_is_resolved_once_and_only_what_was_checked_is_handed_on() {
    let guard = guard(&["1.1.1.1 127.0.0.1 ::1", "127.0.0.1"]);
    let target = check(&guard, "https://rebinding.example/").await.unwrap();
    assert_eq!(target.addresses, ["1.1.1.1:443".parse().unwrap()]);
    let second = check(&guard, "https://rebinding.example/").await;
    assert!(matches!(second, Err(Refusal::Address { what: "loopback", .. })), "{second:?}");
}

#[tokio::test]
async fn the_clear_is_only_for_networks_that_are_named() {
    let mut guard = guard(&["1.1.1.1"]);
    assert_eq!(check(&guard, "http://one.example/").await.unwrap_err(), Refusal::Clear("one.example".into()));
    guard.networks.push("127.0.0.1:8765".parse().unwrap());
    assert!(check(&guard, "http://127.0.0.1:8765/").await.is_ok());
    assert!(check(&guard, "http://127.0.0.1:8766/").await.is_err());
}

#[tokio::test]
async fn a_list_of_hosts_lets_no_other_through() {
    let mut guard = guard(&["1.1.1.1"]);
    guard.hosts = vec!["api.example.org".to_owned(), "*.example.com".to_owned()];
    for url in ["https://api.example.org/", "https://API.example.org./", "https://a.b.example.com/"] {
        assert!(check(&guard, url).await.is_ok(), "{url}");
    }
    for url in
        ["https://example.com/", "https://evilexample.com/", "https://api.example.org.evil.com/", "https://1.1.1.1/"]
    {
        assert!(matches!(check(&guard, url).await, Err(Refusal::Host(_))), "{url}");
    }
    for url in ["file:///etc/passwd", "ftp://api.example.org/", "https://u:p@api.example.org/"] {
        assert!(check(&guard, url).await.is_err(), "{url}");
    }
}
