// Mints a session for a page (recipes/README.md). Standard library only.
//
// As a program it takes STEPSEAL_PROJECT, STEPSEAL_KID, STEPSEAL_PROJECT_SECRET, SUBJECT and ORIGIN (may be absent)
// from the environment and prints the session as JSON.
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

type claims struct {
	V       int    `json:"v"`
	Subject string `json:"sub"`
	Session string `json:"sid"`
	Issued  int64  `json:"iat"`
	Expires int64  `json:"exp"`
	Scope   string `json:"scp"`
	Origin  string `json:"org,omitempty"`
}

// Session is what the page gets, as JSON. Times are Unix milliseconds.
type Session struct {
	Token      string `json:"token"`
	Key        string `json:"key"`
	ExpiresAt  int64  `json:"expires_at"`
	ServerTime int64  `json:"server_time"`
}

// MintSession makes a session for the page of the user you know as subject. An empty origin binds it to none.
func MintSession(project, kid, projectSecret, subject, origin string, ttl time.Duration) (*Session, error) {
	if ttl < time.Second || ttl > time.Hour {
		return nil, errors.New("ttl must be a second to an hour")
	}
	encoded := strings.TrimPrefix(projectSecret, "whsec_")
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || encoded == projectSecret || len(secret) != 32 {
		return nil, errors.New("projectSecret must be whsec_ and the base64 of 32 bytes")
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	now := time.Now()
	text, err := json.Marshal(claims{
		V: 1, Subject: subject, Session: "ses_" + hex.EncodeToString(random),
		Issued: now.Unix(), Expires: now.Add(ttl).Unix(), Scope: "ingest", Origin: origin,
	})
	if err != nil {
		return nil, err
	}
	token := fmt.Sprintf("s1.%s.%s.%s", project, kid, base64.RawURLEncoding.EncodeToString(text))
	if len(token) > 768 {
		return nil, errors.New("the claims make a token longer than 768 bytes")
	}
	return &Session{
		Token: token, Key: base64.StdEncoding.EncodeToString(sessionKey(secret, token)),
		ExpiresAt: now.Add(ttl).Unix() * 1000, ServerTime: now.UnixNano() / 1_000_000,
	}, nil
}

// sessionKey is HKDF-SHA256 (RFC 5869) with an empty salt and one block of output.
func sessionKey(secret []byte, token string) []byte {
	prk := mac(make([]byte, 32), secret)
	info := append([]byte("stepseal/session-key/v1\x00"), token...)
	return mac(prk, append(info, 1))
}

func mac(key, message []byte) []byte {
	hash := hmac.New(sha256.New, key)
	hash.Write(message)
	return hash.Sum(nil)
}

func main() {
	session, err := MintSession(os.Getenv("STEPSEAL_PROJECT"), os.Getenv("STEPSEAL_KID"),
		os.Getenv("STEPSEAL_PROJECT_SECRET"), os.Getenv("SUBJECT"), os.Getenv("ORIGIN"), 15*time.Minute)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(session); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
