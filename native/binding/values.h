// Readers of JavaScript values. Nothing is trusted: each names the argument in
// its error. Whatever may run the caller's code (properties, elements) is read
// before pointers into typed arrays are taken.
#pragma once

#include "errors.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "krylov/dtype.h"

namespace krylov::binding {

inline constexpr std::int64_t kLargestInteger = (std::int64_t(1) << 53) - 1;

// A value in a few words for error messages; runs no code of the caller.
std::string describe(const Napi::Value& value);

double number(const Napi::Value& value, std::string_view name);  // finite
double number(const Napi::Value& value, std::string_view name, double least);
std::int64_t integer(const Napi::Value& value, std::string_view name, std::int64_t least,
                     std::int64_t most = kLargestInteger);
bool boolean(const Napi::Value& value, std::string_view name);
std::string text(const Napi::Value& value, std::string_view name);
Napi::Function function(const Napi::Value& value, std::string_view name);
Napi::Object object(const Napi::Value& value, std::string_view name);
Napi::Array array(const Napi::Value& value, std::string_view name, std::uint32_t most);

// One of a list of words.
template <class E>
struct Word {
  std::string_view name;
  E value;
};
[[noreturn]] void unknown_word(const Napi::Value& value, std::string_view name, std::span<const std::string_view> words);
// The text in `buffer` when value is a short string, else empty.
std::string_view short_text(const Napi::Value& value, std::array<char, 32>& buffer) noexcept;

template <class E, std::size_t N>
E word(const Napi::Value& value, std::string_view name, const Word<E> (&words)[N]) {
  std::array<char, 32> buffer;
  const std::string_view text = short_text(value, buffer);
  std::array<std::string_view, N> names;
  for (std::size_t i = 0; i < N; ++i) {
    if (!text.empty() && words[i].name == text) return words[i].value;
    names[i] = words[i].name;
  }
  unknown_word(value, name, names);
}

DType dtype(const Napi::Value& value, std::string_view name);

// Properties of an object, with their path for errors.
class Fields {
 public:
  Fields(const Napi::Value& value, std::string path) : object_(object(value, path)), path_(std::move(path)) {}

  std::string at(const char* key) const { return path_ + "." + key; }
  const std::string& path() const noexcept { return path_; }
  Napi::Value get(const char* key) const { return object_.Get(key); }

  double number(const char* key) const { return binding::number(get(key), at(key)); }
  double number(const char* key, double least) const { return binding::number(get(key), at(key), least); }
  std::int64_t integer(const char* key, std::int64_t least, std::int64_t most = kLargestInteger) const {
    return binding::integer(get(key), at(key), least, most);
  }
  bool boolean(const char* key) const { return binding::boolean(get(key), at(key)); }
  std::string text(const char* key) const { return binding::text(get(key), at(key)); }
  Napi::Array array(const char* key, std::uint32_t most) const { return binding::array(get(key), at(key), most); }
  template <class E, std::size_t N>
  E word(const char* key, const Word<E> (&words)[N]) const {
    return binding::word(get(key), at(key), words);
  }
  // Names of its own enumerable properties.
  std::vector<std::string> keys() const;

 private:
  Napi::Object object_;
  std::string path_;
};

// The elements of a typed array, valid until the caller's code runs again.
struct Elements {
  napi_typedarray_type type;
  std::byte* data;
  std::size_t length, bytes;

  bool is_float() const noexcept { return type == napi_float32_array || type == napi_float64_array; }
  DType dtype() const noexcept { return type == napi_float64_array ? DType::kFloat64 : DType::kFloat32; }
};
// `wanted` says what is expected. Detached arrays have no elements; arrays over
// shared memory are refused, since another thread could change them meanwhile.
Elements elements(const Napi::Value& value, std::string_view name, std::string_view wanted);
// A Float32Array or Float64Array of exactly `length` elements.
Elements floats(const Napi::Value& value, std::string_view name, std::int64_t length);

template <class T>
struct ArrayType;
template <>
struct ArrayType<float> {
  static constexpr napi_typedarray_type kType = napi_float32_array;
  static constexpr const char* kName = "Float32Array";
};
template <>
struct ArrayType<double> {
  static constexpr napi_typedarray_type kType = napi_float64_array;
  static constexpr const char* kName = "Float64Array";
};
template <>
struct ArrayType<std::int32_t> {
  static constexpr napi_typedarray_type kType = napi_int32_array;
  static constexpr const char* kName = "Int32Array";
};
template <>
struct ArrayType<std::uint32_t> {
  static constexpr napi_typedarray_type kType = napi_uint32_array;
  static constexpr const char* kName = "Uint32Array";
};

[[noreturn]] void wrong_length(std::string_view name, const char* type, std::int64_t length, std::size_t received);

// An array of exactly this type; any length when `length` is negative.
template <class T>
std::span<T> typed(const Napi::Value& value, std::string_view name, std::int64_t length = -1) {
  const char* const type = ArrayType<T>::kName;
  const Elements e = elements(value, name, type);
  if (e.type != ArrayType<T>::kType) fail(ErrorCode::kDType, name, type, describe(value));
  if (length >= 0 && e.length != static_cast<std::size_t>(length)) wrong_length(name, type, length, e.length);
  return {reinterpret_cast<T*>(e.data), e.length};
}

// A new typed array of zeros, made by the constructor that the environment had at load.
template <class T>
std::span<T> make_array(Napi::Env env, std::size_t length, Napi::Value& array);
template <class T>
Napi::Value copy_array(Napi::Env env, std::span<const T> values) {
  Napi::Value array;
  const std::span<T> to = make_array<T>(env, values.size(), array);
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = values[i];
  return array;
}
Napi::Array number_array(Napi::Env env, std::span<const double> values);

}  // namespace krylov::binding
