// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "certificates.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <stdexcept>
#include <utility>

namespace computelocator::simulate {

namespace {

template <class T, void (*Free)(T*)>
struct freer {
  void operator()(T* of) const { Free(of); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freer<EVP_PKEY, EVP_PKEY_free>>;
using x509_ptr = std::unique_ptr<X509, freer<X509, X509_free>>;

void need(bool well) {
  if (!well) throw std::runtime_error("OpenSSL failed to make a certificate");
}

key_ptr new_key() {
  key_ptr made(EVP_EC_gen("P-256"));
  need(made != nullptr);
  return made;
}

template <class Write>
std::string pem(Write write) {
  BIO* const memory = BIO_new(BIO_s_mem());
  need(memory != nullptr && write(memory) == 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(memory, &bytes);
  std::string text(bytes, static_cast<std::size_t>(size));
  BIO_free(memory);
  return text;
}

std::string pem_of(X509* of) {
  return pem([&](BIO* to) { return PEM_write_bio_X509(to, of); });
}
std::string pem_of(EVP_PKEY* of) {
  return pem([&](BIO* to) {
    return PEM_write_bio_PrivateKey(to, of, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

void add_extension(X509* to, X509* issuer, int kind, const std::string& text) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  X509_EXTENSION* const made = X509V3_EXT_conf_nid(nullptr, &context, kind, text.c_str());
  need(made != nullptr && X509_add_ext(to, made, -1) == 1);
  X509_EXTENSION_free(made);
}

x509_ptr make(const certificate_request& what, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
              bool is_authority) {
  x509_ptr made(X509_new());
  need(made != nullptr);
  X509_set_version(made.get(), 2);
  std::uint64_t serial = 0;
  need(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.get()), serial >> 1);
  // An hour back, so that a clock a little behind does not refuse it.
  X509_time_adj_ex(X509_getm_notBefore(made.get()), what.days < 0 ? what.days - 30 : 0, -3600, nullptr);
  X509_time_adj_ex(X509_getm_notAfter(made.get()), what.days, 0, nullptr);
  X509_NAME* const subject = X509_get_subject_name(made.get());
  const auto add = [&](const char* field, const std::string& value) {
    if (!value.empty())
      need(X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1);
  };
  add("O", what.organization);
  add("CN", what.common_name);
  X509* const signer = issuer != nullptr ? issuer : made.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(signer));
  X509_set_pubkey(made.get(), key);
  if (is_authority) {
    add_extension(made.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(made.get(), signer, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    add_extension(made.get(), signer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(made.get(), signer, NID_key_usage, "critical,digitalSignature");
    add_extension(made.get(), signer, NID_ext_key_usage, what.for_client ? "clientAuth" : "serverAuth");
  }
  add_extension(made.get(), signer, NID_subject_key_identifier, "hash");
  std::string names;
  if (!what.address.empty()) names = "IP:" + what.address;
  if (!what.dns_name.empty()) names += (names.empty() ? "DNS:" : ",DNS:") + what.dns_name;
  if (!names.empty()) add_extension(made.get(), signer, NID_subject_alt_name, names);
  need(X509_sign(made.get(), issuer_key, EVP_sha256()) > 0);
  return made;
}

}  // namespace

struct authority::keys {
  key_ptr key = new_key();
  x509_ptr certificate;
  std::string text;
};

authority::authority(const std::string& name) : keys_(std::make_unique<keys>()) {
  certificate_request what;
  what.common_name = name;
  keys_->certificate = make(what, keys_->key.get(), nullptr, keys_->key.get(), true);
  keys_->text = pem_of(keys_->certificate.get());
}
authority::~authority() = default;
authority::authority(authority&&) noexcept = default;

const std::string& authority::certificate() const noexcept { return keys_->text; }

identity authority::issue(const certificate_request& what) const {
  const key_ptr key = new_key();
  const x509_ptr made = make(what, key.get(), keys_->certificate.get(), keys_->key.get(), false);
  return {pem_of(made.get()), pem_of(key.get())};
}

identity authority::self_signed(const certificate_request& what) {
  const key_ptr key = new_key();
  const x509_ptr made = make(what, key.get(), nullptr, key.get(), false);
  return {pem_of(made.get()), pem_of(key.get())};
}

}  // namespace computelocator::simulate
