// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/hash.h"

#include <bit>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace moe {
namespace {

static_assert(std::endian::native == std::endian::little);

Hash128 Canonical(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  Hash128 out;
  std::memcpy(out.bytes.data(), canonical.digest, sizeof canonical.digest);
  return out;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string Hash128::Hex() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::optional<Hash128> Hash128::FromHex(std::string_view hex) {
  if (hex.size() != 32) return std::nullopt;
  Hash128 out;
  for (size_t i = 0; i < 16; ++i) {
    const int high = HexDigit(hex[2 * i]), low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return out;
}

Hash128 HashBytes(std::span<const std::byte> bytes) {
  return Canonical(XXH3_128bits(bytes.data(), bytes.size()));
}

Hash128 HashText(std::string_view text) {
  return HashBytes(std::as_bytes(std::span(text)));
}

struct Hasher::State {
  XXH3_state_t xxh;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(&state_->xxh);
}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::Update(std::span<const std::byte> bytes) {
  if (!bytes.empty())
    XXH3_128bits_update(&state_->xxh, bytes.data(), bytes.size());
}

void Hasher::Update(std::string_view text) {
  Update(std::as_bytes(std::span(text)));
}

void Hasher::Update(uint64_t value) {
  Update(std::as_bytes(std::span(&value, 1)));
}

Hash128 Hasher::Finish() const {
  return Canonical(XXH3_128bits_digest(&state_->xxh));
}

}  // namespace moe
