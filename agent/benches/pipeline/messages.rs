//! What is sent: requests and responses of HTTP/1.

/// What a client behind a gateway sends: fourteen fields, JSON body.
pub(super) fn request(n: u64, body: usize) -> Vec<u8> {
    let body = json(n, body);
    format!(
        "POST /api/v1/orders/{n}?verbose=true HTTP/1.1\r\nhost: orders.shop.svc.cluster.local:8080\r\n\
         user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\naccept: application/json\r\n\
         accept-encoding: gzip, deflate, br\r\naccept-language: en-GB,en;q=0.9\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\
         authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N\r\n\
         cookie: session=0123456789abcdef; theme=dark\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n\
         x-request-id: 6f2b6c1e-0d1f-4d0a-9a63-{n:012x}\r\n\
         traceparent: 00-{:032x}-{:016x}-01\r\nconnection: keep-alive\r\n\r\n{body}",
        body.len(),
        u128::from(n) + 1,
        n + 1,
    )
    .into_bytes()
}

/// What a service behind Envoy responds with: nine fields, JSON body.
pub(super) fn response(n: u64, body: usize) -> Vec<u8> {
    let body = json(n, body);
    format!(
        "HTTP/1.1 200 OK\r\nserver: istio-envoy\r\ndate: Sat, 21 Nov 2026 06:36:00 GMT\r\n\
         content-type: application/json; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         set-cookie: session=fedcba9876543210; Path=/; HttpOnly\r\nvary: Accept-Encoding\r\n\
         x-envoy-upstream-service-time: 12\r\nx-content-type-options: nosniff\r\n\r\n{body}",
        body.len(),
    )
    .into_bytes()
}

/// An object of about `size` bytes with some structure.
fn json(n: u64, size: usize) -> String {
    let mut text = format!("{{\"id\":{n},\"status\":\"created\",\"items\":[");
    while text.len() + 80 < size {
        text.push_str(
            "{\"sku\":\"ABC-1234\",\"name\":\"A thing to buy\",\"quantity\":3,\"price\":19.99},",
        );
    }
    text.push_str("null]}");
    text
}
