// What a Go team would write: go-mysql's canal, a JSON envelope, franz-go.
// One message a row, keyed by the primary key; idempotent producer, acks=all.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/canal"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/goccy/go-json"
	"github.com/twmb/franz-go/pkg/kgo"
)

type source struct {
	Database string `json:"db"`
	Table    string `json:"table"`
	Server   uint32 `json:"server_id"`
	Position uint32 `json:"pos"`
	TsMs     int64  `json:"ts_ms"`
}

type envelope struct {
	Before map[string]any `json:"before"`
	After  map[string]any `json:"after"`
	Source source         `json:"source"`
	Op     string         `json:"op"`
	TsMs   int64          `json:"ts_ms"`
}

type relay struct {
	canal.DummyEventHandler
	client *kgo.Client
	prefix string
}

var ops = map[string]string{canal.InsertAction: "c", canal.UpdateAction: "u", canal.DeleteAction: "d"}

func named(event *canal.RowsEvent, row []any) map[string]any {
	values := make(map[string]any, len(row))
	for i, value := range row {
		if raw, ok := value.([]byte); ok {
			value = string(raw)
		}
		values[event.Table.Columns[i].Name] = value
	}
	return values
}

func (r *relay) OnRow(event *canal.RowsEvent) error {
	images := 1
	if event.Action == canal.UpdateAction {
		images = 2
	}
	topic := r.prefix + "." + event.Table.Schema + "." + event.Table.Name
	for i := 0; i+images <= len(event.Rows); i += images {
		if err := r.produce(topic, event, event.Rows[i:i+images]); err != nil {
			return err
		}
	}
	return nil
}

func (r *relay) produce(topic string, event *canal.RowsEvent, images [][]any) error {
	message := envelope{
		Op:   ops[event.Action],
		TsMs: time.Now().UnixMilli(),
		Source: source{event.Table.Schema, event.Table.Name, event.Header.ServerID, event.Header.LogPos,
			int64(event.Header.Timestamp) * 1000},
	}
	last := images[len(images)-1]
	if event.Action != canal.InsertAction {
		message.Before = named(event, images[0])
	}
	if event.Action != canal.DeleteAction {
		message.After = named(event, last)
	}
	parts, err := event.Table.GetPKValues(last)
	if err != nil {
		return err
	}
	key, err := json.Marshal(parts)
	if err != nil {
		return err
	}
	value, err := json.Marshal(&message)
	if err != nil {
		return err
	}
	r.client.Produce(context.Background(), &kgo.Record{Topic: topic, Key: key, Value: value},
		func(_ *kgo.Record, err error) {
			if err != nil {
				fmt.Fprintln(os.Stderr, "a message was not delivered:", err)
				os.Exit(1)
			}
		})
	return nil
}

func (r *relay) String() string { return "relay" }

func number(name string) uint32 {
	found, err := strconv.ParseUint(os.Getenv(name), 10, 32)
	if err != nil {
		panic(err)
	}
	return uint32(found)
}

func run() error {
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Getenv("KAFKA")), kgo.ProducerLinger(10*time.Millisecond),
		kgo.ProducerBatchMaxBytes(1<<20), kgo.MaxBufferedRecords(100000),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		return err
	}
	config := canal.NewDefaultConfig()
	config.Addr = os.Getenv("MYSQL_HOST") + ":" + os.Getenv("MYSQL_PORT")
	config.User, config.Password = os.Getenv("MYSQL_USER"), os.Getenv("MYSQL_PASSWORD")
	config.Flavor, config.ServerID = "mysql", number("SERVER_ID")
	config.Dump.ExecutionPath = "" // no mysqldump first: the log only
	config.IncludeTableRegex = []string{"^" + os.Getenv("SCHEMA") + "\\..*$"}
	follower, err := canal.NewCanal(config)
	if err != nil {
		return err
	}
	follower.SetEventHandler(&relay{client: client, prefix: os.Getenv("PREFIX")})
	stopping := make(chan os.Signal, 1)
	signal.Notify(stopping, syscall.SIGTERM, syscall.SIGINT)
	go func() { <-stopping; follower.Close() }()
	err = follower.RunFrom(mysql.Position{Name: os.Getenv("BINLOG_FILE"), Pos: number("BINLOG_POSITION")})
	_ = client.Flush(context.Background())
	return err
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
