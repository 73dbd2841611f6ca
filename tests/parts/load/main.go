// A client of HTTP that sends a fixed number of requests, each with an id of its own, and says at
// its end what it received: {"sent": …, "seconds": …, "responded": {"200": …}, "errors": …}.
//
// Words: METHOD URL, as often as wanted: request n takes the one that is due. In URL and -host, {n}
// becomes the number of the request, {h} one of as many numbers as -hosts says.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	count   = flag.Int("count", 100, "requests")
	clients = flag.Int("clients", 1, "connections at a time")
	rate    = flag.Float64("rate", 0, "requests a second, of all clients; 0: as fast as it goes")
	reuse   = flag.Int("reuse", 0, "requests of a connection; 0: all")
	host    = flag.String("host", "", "Host, instead of that of the URL")
	hosts   = flag.Int("hosts", 1, "how many {h} there are")
	body    = flag.String("body", "", "of every request that is no GET")
)

func place(text string, n int) string {
	text = strings.ReplaceAll(text, "{n}", strconv.Itoa(n))
	return strings.ReplaceAll(text, "{h}", strconv.Itoa(n%*hosts))
}

// ask sends request n. The status, or 0 where there was no response.
func ask(client *http.Client, n int, last bool) int {
	words := flag.Args()
	at := n % (len(words) / 2) * 2
	var sent io.Reader
	if words[at] != "GET" {
		sent = strings.NewReader(*body)
	}
	request, err := http.NewRequest(words[at], place(words[at+1], n), sent)
	if err != nil {
		panic(err)
	}
	if *host != "" {
		request.Host = place(*host, n)
	}
	request.Close = last
	response, err := client.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, n, err)
		return 0
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		fmt.Fprintln(os.Stderr, n, err)
		return 0
	}
	return response.StatusCode
}

func main() {
	flag.Parse()
	var next atomic.Int64
	var lock sync.Mutex
	responded, errors := map[int]int{}, 0
	start := time.Now()
	var all sync.WaitGroup
	for range *clients {
		all.Add(1)
		go func() {
			defer all.Done()
			// A connection of its own; a request that fails is not sent again.
			client := &http.Client{
				Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true},
				Timeout:   time.Minute,
			}
			for asked := 1; ; asked++ {
				n := int(next.Add(1)) - 1
				if n >= *count {
					return
				}
				if *rate > 0 {
					due := time.Duration(float64(n) / *rate * float64(time.Second))
					time.Sleep(time.Until(start.Add(due)))
				}
				status := ask(client, n, *reuse > 0 && asked%*reuse == 0)
				lock.Lock()
				if status == 0 {
					errors++
				} else {
					responded[status]++
				}
				lock.Unlock()
			}
		}()
	}
	all.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"sent": *count, "seconds": time.Since(start).Seconds(),
		"responded": responded, "errors": errors,
	})
	if errors > 0 {
		os.Exit(1)
	}
}
