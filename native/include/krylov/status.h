// Failure without exceptions or allocation: a code, the argument at fault, a
// static text and up to three numbers. The binding turns it into a KrylovError.
#pragma once

#include <cstdint>

namespace krylov {

enum class ErrorCode : std::uint8_t {
  kOk, kShape, kDType, kOption, kNotFinite, kBusy, kState, kFile, kNative
};

struct [[nodiscard]] Status {
  ErrorCode code = ErrorCode::kOk;
  const char* argument = "";  // static storage
  const char* expected = "";  // static storage; what was expected
  std::int64_t received[3] = {0, 0, 0};
  int received_count = 0;

  constexpr bool ok() const noexcept { return code == ErrorCode::kOk; }
  static constexpr Status success() noexcept { return {}; }
  static constexpr Status error(ErrorCode code, const char* argument, const char* expected) noexcept {
    return {code, argument, expected, {0, 0, 0}, 0};
  }
  static constexpr Status error(ErrorCode code, const char* argument, const char* expected, std::int64_t a) noexcept {
    return {code, argument, expected, {a, 0, 0}, 1};
  }
  static constexpr Status error(ErrorCode code, const char* argument, const char* expected, std::int64_t a,
                                std::int64_t b) noexcept {
    return {code, argument, expected, {a, b, 0}, 2};
  }
  static constexpr Status error(ErrorCode code, const char* argument, const char* expected, std::int64_t a,
                                std::int64_t b, std::int64_t c) noexcept {
    return {code, argument, expected, {a, b, c}, 3};
  }
};

}  // namespace krylov
