package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	requestTimeout = 15 * time.Second
	maxKeyBytes    = 1024
	maxValueBytes  = 128 * 1024
	maxIDBytes     = 128
	maxRequests    = 64
)

var etag = regexp.MustCompile(`^"?([0-9]{1,16})"?$`)

// badRequest is what is wrong with a request.
type badRequest string

func (b badRequest) Error() string { return string(b) }

// Handler is the HTTP interface: it makes requests into commands, and their results into answers.
type Handler struct {
	sidecar *Sidecar
	store   *Store
	slots   chan struct{}
}

func newHandler(sidecar *Sidecar, store *Store) *Handler {
	return &Handler{sidecar, store, make(chan struct{}, maxRequests)}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Connection", "close")
		fail(w, http.StatusServiceUnavailable, "too many requests at once; nothing was done")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	var err error
	switch r.Method {
	case http.MethodGet:
		err = h.read(ctx, w, r)
	case http.MethodPut, http.MethodDelete:
		err = h.write(ctx, w, r)
	default:
		fail(w, http.StatusNotImplemented, "GET, PUT and DELETE are served")
	}
	var bad badRequest
	switch {
	case err == nil:
	case errors.As(err, &bad), errors.Is(err, errRefused):
		fail(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, errOutcomeUnknown):
		fail(w, http.StatusGatewayTimeout, err.Error())
	default:
		fail(w, http.StatusServiceUnavailable, errNotWritten.Error())
	}
}

func (h *Handler) read(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if r.RequestURI == "/_status" {
		status := h.store.Status()
		status.Retries = h.sidecar.retries.Load()
		status.Put = h.sidecar.put.Load()
		answer(w, http.StatusOK, status)
		return nil
	}
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	// Only after this barrier is every write included that was answered before.
	if err := h.sidecar.Barrier(ctx); err != nil {
		return err
	}
	record, ok := h.store.Get(key)
	if !ok {
		fail(w, http.StatusNotFound, "no such key")
		return nil
	}
	setVersion(w, record.Version)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, record.Value) // Fails only when the client is gone.
	return nil
}

func (h *Handler) write(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	command, err := commandOf(r)
	if err != nil {
		return err
	}
	// Whether the condition held is known only once the command is applied, here as everywhere.
	result, err := h.sidecar.Propose(ctx, command.Encode())
	if err != nil {
		return err
	}
	setVersion(w, result.Version)
	answer(w, result.Status, map[string]uint64{"version": result.Version})
	return nil
}

func commandOf(r *http.Request) (command Command, err error) {
	if command.Value, err = valueOf(r); err != nil {
		return command, err
	}
	if command.Key, err = keyOf(r); err != nil {
		return command, err
	}
	if command.IfVersion, err = conditionOf(r); err != nil {
		return command, err
	}
	command.RequestID = r.Header.Get("Idempotency-Key")
	if len(command.RequestID) > maxIDBytes || strings.ContainsFunc(command.RequestID, isNotASCII) {
		return command, badRequest(fmt.Sprintf("an Idempotency-Key has at most %d bytes, all ASCII", maxIDBytes))
	}
	return command, nil
}

func isNotASCII(char rune) bool { return char >= utf8.RuneSelf }

func keyOf(r *http.Request) (string, error) {
	path, found := strings.CutPrefix(r.RequestURI, "/kv/")
	key, err := url.PathUnescape(path)
	if !found || err != nil || !utf8.ValidString(key) || key == "" || len(key) > maxKeyBytes {
		return "", badRequest(fmt.Sprintf("the path is /kv/KEY, with 1 to %d bytes of key", maxKeyBytes))
	}
	return key, nil
}

func valueOf(r *http.Request) (*string, error) {
	if r.Method == http.MethodDelete {
		return nil, nil
	}
	if r.ContentLength < 0 || r.ContentLength > maxValueBytes {
		return nil, badRequest(fmt.Sprintf("a Content-Length of 0 to %d is needed", maxValueBytes))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, badRequest("the connection ended within the body")
	}
	value := string(body)
	if !utf8.ValidString(value) {
		return nil, badRequest("the value is not UTF-8")
	}
	return &value, nil
}

// conditionOf reads If-Match: "7", which means only over version 7, and If-None-Match: *, only where there is nothing
// yet.
func conditionOf(r *http.Request) (*uint64, error) {
	if r.Header.Get("If-None-Match") == "*" {
		return new(uint64), nil
	}
	match := r.Header.Values("If-Match")
	if len(match) == 0 {
		return nil, nil
	}
	found := etag.FindStringSubmatch(match[0])
	if found == nil {
		return nil, badRequest("If-Match takes one ETag, as a GET returns it")
	}
	version, err := strconv.ParseUint(found[1], 10, 64)
	return &version, err
}

func setVersion(w http.ResponseWriter, version uint64) {
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, version))
}

func fail(w http.ResponseWriter, status int, text string) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, status, map[string]string{"error": text})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // Fails only when the client is gone.
}
