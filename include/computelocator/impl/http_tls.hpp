// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// TLS of one access: its context, how a peer is judged, and what a refusal means in our words.

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl.hpp>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <computelocator/http.hpp>

namespace computelocator::detail::http_ {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

inline bool is_address(const std::string& host) {
  boost::system::error_code ec;
  (void)asio::ip::make_address(host, ec);
  return !ec;
}

inline std::string openssl_reason(unsigned long code) {
  const char* const text = ERR_reason_error_string(code);
  return text != nullptr ? text : "unknown reason";
}

/// Contexts are dear to make and hold the certificates of a whole cluster: one for each access.
class tls_contexts {
 public:
  result<std::shared_ptr<ssl::context>> of(const std::shared_ptr<const access>& who) {
    static const access nobody;
    const access& use = who ? *who : nobody;
    const stamps changed{use.tls.ca_pem.empty() ? changed_at(use.tls.ca_file) : 0,
                         changed_at(use.who.client_certificate_file), changed_at(use.who.client_key_file)};
    const auto found = made_.find(who.get());
    if (found != made_.end() && found->second.changed == changed) return found->second.context;
    auto made = make(use);
    if (!made) {
      // Of certificate and key one is written first: until the other fits, what was before is good.
      if (found != made_.end() && found->second.changed[0] == changed[0]) return found->second.context;
      return std::move(made).error();
    }
    std::erase_if(made_, [](const auto& each) { return each.second.kept && each.second.kept.use_count() == 1; });
    made_[who.get()] = {who, *made, changed};
    return std::move(made).value();
  }

 private:
  using stamps = std::array<std::int64_t, 3>;  // of the CA, our certificate and its key
  struct entry {
    std::shared_ptr<const access> kept;  // keeps the address from being given to another
    std::shared_ptr<ssl::context> context;
    stamps changed{};
  };

  static std::int64_t changed_at(const std::string& file) {
    struct stat about {};
    if (file.empty() || ::stat(file.c_str(), &about) != 0 || !S_ISREG(about.st_mode)) return 0;
    return static_cast<std::int64_t>(about.st_mtim.tv_sec) * 1'000'000'000 + about.st_mtim.tv_nsec;
  }

  static error bad(std::string where, const std::string& what, std::string advice) {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    return {errc::bad_configuration, std::move(where),
            code != 0 ? what + ": " + openssl_reason(code) : what, std::move(advice)};
  }

  static result<std::shared_ptr<ssl::context>> make(const access& use) {
    boost::system::error_code ec;
    auto made = std::make_shared<ssl::context>(ssl::context::tls_client);
    SSL_CTX* const native = made->native_handle();
    SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
    SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // of thousands of connections nearly all wait
    if (use.tls.mode == tls_mode::verify) {
      made->set_verify_mode(ssl::verify_peer, ec);
      if (!use.tls.ca_pem.empty()) {
        made->add_certificate_authority(asio::buffer(use.tls.ca_pem), ec);
        if (ec) return bad("certificate authority", "is no PEM certificate", "check the CA data");
      } else if (!use.tls.ca_file.empty()) {
        if (SSL_CTX_load_verify_file(native, use.tls.ca_file.c_str()) != 1)
          return bad(use.tls.ca_file, "cannot be read as PEM certificates", "check the file");
      } else {
        made->set_default_verify_paths(ec);
      }
    } else {
      made->set_verify_mode(ssl::verify_none, ec);
    }
    if (!use.who.client_certificate_pem.empty()) {
      // A key under a pass phrase would otherwise ask for it on the terminal.
      SSL_CTX_set_default_passwd_cb(native, [](char*, int, int, void*) { return 0; });
      const std::string& file = use.who.client_certificate_file;
      if (changed_at(file) != 0) made->use_certificate_chain_file(file, ec);
      else made->use_certificate_chain(asio::buffer(use.who.client_certificate_pem), ec);
      if (ec)
        return bad("client certificate", "is no PEM certificate", "check client-certificate(-data)");
      const std::string_view key = use.who.client_key_pem.reveal();
      if (changed_at(use.who.client_key_file) != 0)
        made->use_private_key_file(use.who.client_key_file, ssl::context::pem, ec);
      else
        made->use_private_key(asio::buffer(key.data(), key.size()), ssl::context::pem, ec);
      if (ec || SSL_CTX_check_private_key(native) != 1)
        return bad("client key", "cannot be used with the client certificate",
                   "give the key of that certificate, as PEM without a pass phrase");
    }
    ERR_clear_error();
    return made;
  }

  std::map<const access*, entry> made_;
};

/// What a peer gave for the next handshake with it, which then needs no certificates: those of this one
/// vouch for it, and no longer than an hour.
struct tls_session {
  std::shared_ptr<ssl::context> context;
  std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> given{nullptr, SSL_SESSION_free};

  bool fits(const std::shared_ptr<ssl::context>& wanted) const {
    constexpr long hour = 3600;
    return context == wanted && std::time(nullptr) - SSL_SESSION_get_time(given.get()) < hour;
  }
};

/// Says before the handshake whom we mean to reach.
inline bool expect_peer(SSL* native, const tls_settings& tls, const std::string& host) {
  const std::string& name = tls.server_name.empty() ? host : tls.server_name;
  const bool literal = is_address(name);
  // RFC 6066: an address does not belong in SNI.
  if (!literal && SSL_set_tlsext_host_name(native, name.c_str()) != 1) return false;
  if (tls.mode != tls_mode::verify) return true;
  X509_VERIFY_PARAM* const judge = SSL_get0_param(native);
  if (literal) return X509_VERIFY_PARAM_set1_ip_asc(judge, name.c_str()) == 1;
  X509_VERIFY_PARAM_set_hostflags(
      judge, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return X509_VERIFY_PARAM_set1_host(judge, name.c_str(), name.size()) == 1;
}

/// sha256 of the peer's SubjectPublicKeyInfo, lower-case hex; empty where it cannot be had.
inline std::string pin_of(SSL* native) {
  X509* const certificate = SSL_get1_peer_certificate(native);
  if (certificate == nullptr) return {};
  unsigned char* bytes = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &bytes);
  X509_free(certificate);
  if (length <= 0) return {};
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const int done = EVP_Digest(bytes, static_cast<std::size_t>(length), digest, &size, EVP_sha256(),
                              nullptr);
  OPENSSL_free(bytes);
  if (done != 1) return {};
  constexpr char hex[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    text += hex[digest[i] >> 4];
    text += hex[digest[i] & 15u];
  }
  return text;
}

inline error tls_failure(SSL* native, const boost::system::error_code& ec, const tls_settings& tls,
                         const std::string& host, bool client_certificate) {
  const std::string& name = tls.server_name.empty() ? host : tls.server_name;
  const long verdict = SSL_get_verify_result(native);
  if (verdict != X509_V_OK && tls.mode == tls_mode::verify) {
    const std::string words = X509_verify_cert_error_string(verdict);
    switch (verdict) {
      case X509_V_ERR_HOSTNAME_MISMATCH:
      case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return {errc::tls_wrong_name, {}, "the peer's certificate is not for " + printable(name),
                "set the server name that the certificate holds, or pin the peer's key"};
      case X509_V_ERR_CERT_HAS_EXPIRED:
      case X509_V_ERR_CERT_NOT_YET_VALID:
        return {errc::tls_expired, {}, "the peer's certificate was refused: " + words,
                "renew it, or set the clock right"};
      default:
        return {errc::tls_untrusted, {}, "the peer's certificate was refused: " + words,
                "give the CA that signed it, let the cluster's CA sign kubelet certificates "
                "(serverTLSBootstrap), or pin keys (kubelet TLS mode \"pin\")"};
    }
  }
  if (ec == asio::error::eof || ec == ssl::error::stream_truncated ||
      ec == asio::error::connection_reset)
    return {errc::connection_lost, {}, "the peer closed the connection during the TLS handshake",
            client_certificate ? "" : "it may ask for a client certificate"};
  const unsigned long code = static_cast<unsigned long>(ec.value());
  if (ec.category() == asio::error::get_ssl_category()) {
    switch (ERR_GET_REASON(code)) {
      case SSL_R_WRONG_VERSION_NUMBER:
      case SSL_R_HTTP_REQUEST:
      case SSL_R_PACKET_LENGTH_TOO_LONG:
        return {errc::tls_protocol, {}, "the peer does not speak TLS on this port",
                "check the port; for plain HTTP say http://"};
      case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
      case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
      case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return {errc::tls_client_certificate, {},
                client_certificate ? "the peer refused our client certificate: " + openssl_reason(code)
                                   : "the peer asks for a client certificate",
                "give a certificate that the peer's CA signed"};
      default: break;
    }
    return {errc::tls_protocol, {}, "TLS failed: " + openssl_reason(code), ""};
  }
  return {errc::connection_lost, {}, "the connection broke during the TLS handshake: " + ec.message(), ""};
}

}  // namespace computelocator::detail::http_
