// A server and a client of HTTP/2 with prior knowledge, by Go's own library: `server PORT`, and
// `client PORT CONNECTIONS STREAMS BEFORE AFTER`. See peer.py for what each says.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

func number(at int) int {
	n, err := strconv.Atoi(os.Args[at])
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func fields(set func(string, string), prefix string, id, epoch int) {
	for at := 0; at < 12; at++ {
		mixed := (id*12 + at) * 40503 % 65536
		if mixed%3 != 0 {
			name := fmt.Sprintf("%s-name-%d-%d", prefix, epoch, at)
			set(name, fmt.Sprintf("%s%d is %d", prefix, at, mixed/3%4))
		}
	}
}

func body(id, long int) string {
	text := strconv.Itoa(id)
	if id%long == 0 {
		text += strings.Repeat(".", 20000)
	}
	return text
}

func serve() {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	handler := func(response http.ResponseWriter, request *http.Request) {
		id, err := strconv.Atoi(request.Header.Get("x-id"))
		if err != nil {
			log.Fatal(err)
		}
		epoch, err := strconv.Atoi(request.Header.Get("x-epoch"))
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, request.Body)
		response.Header().Set("y-id", strconv.Itoa(id))
		fields(response.Header().Set, "y", id, epoch)
		io.WriteString(response, body(id, 7))
	}
	server := http.Server{
		Addr:      "127.0.0.1:" + os.Args[2],
		Handler:   http.HandlerFunc(handler),
		Protocols: protocols,
	}
	log.Fatal(server.ListenAndServe())
}

func main() {
	if os.Args[1] == "server" {
		serve()
	}
	connections, streams, before, after := number(3), number(4), number(5), number(6)
	var started atomic.Bool
	var warm, all sync.WaitGroup
	warm.Add(connections)
	var print sync.Mutex
	for connection := 0; connection < connections; connection++ {
		all.Go(func() {
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			client := http.Client{Transport: &http.Transport{Protocols: protocols}}
			for round, counted := 0, 0; counted < after; round++ {
				counts := started.Load()
				var ids []string
				var group sync.WaitGroup
				for stream := 0; stream < streams; stream++ {
					id := (round*streams+stream)*connections + connection
					ids = append(ids, strconv.Itoa(id))
					group.Go(func() { call(&client, id, id/(connections*streams*5)) })
				}
				group.Wait()
				if counts {
					counted++
					print.Lock()
					fmt.Println(strings.Join(ids, " "))
					print.Unlock()
				}
				if round == before {
					warm.Done()
				}
			}
		})
	}
	warm.Wait()
	print.Lock()
	fmt.Println("warm")
	print.Unlock()
	bufio.NewReader(os.Stdin).ReadString('\n')
	started.Store(true)
	all.Wait()
}

func call(client *http.Client, id, epoch int) {
	target := "http://127.0.0.1:" + os.Args[2] + "/late"
	request, err := http.NewRequest("POST", target, bytes.NewReader([]byte(body(id, 11))))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("x-id", strconv.Itoa(id))
	request.Header.Set("x-epoch", strconv.Itoa(epoch))
	fields(request.Header.Set, "x", id, epoch)
	response, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	received, err := io.ReadAll(response.Body)
	if err != nil || string(received) != body(id, 7) {
		log.Fatalf("%v: %.50s", err, received)
	}
	response.Body.Close()
}
