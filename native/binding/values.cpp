#include "values.h"

#include <cmath>
#include <cstdio>

#include "environment.h"

namespace krylov::binding {

namespace {

constexpr std::size_t kLongestText = 256;   // of a name in a spec
constexpr std::size_t kLongestQuote = 60;   // of the caller's text in a message
constexpr std::size_t kMostKeys = 16384;  // states have some by layer

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.17g", value);
  return buffer;
}

std::string quote(const Napi::Value& value) {
  char buffer[kLongestQuote + 1];
  std::size_t copied = 0;
  if (napi_get_value_string_utf8(value.Env(), value, buffer, sizeof buffer, &copied) != napi_ok) return "a string";
  std::size_t length = 0;
  napi_get_value_string_utf8(value.Env(), value, nullptr, 0, &length);
  return "'" + std::string(buffer, copied) + (length > copied ? "...'" : "'");
}

const char* type_name(napi_typedarray_type type) noexcept {
  switch (type) {
    case napi_int8_array: return "Int8Array";
    case napi_uint8_array: return "Uint8Array";
    case napi_uint8_clamped_array: return "Uint8ClampedArray";
    case napi_int16_array: return "Int16Array";
    case napi_uint16_array: return "Uint16Array";
    case napi_int32_array: return "Int32Array";
    case napi_uint32_array: return "Uint32Array";
    case napi_float32_array: return "Float32Array";
    case napi_float64_array: return "Float64Array";
    case napi_bigint64_array: return "BigInt64Array";
    case napi_biguint64_array: return "BigUint64Array";
    default: return "typed array";
  }
}

constexpr auto kNoType = static_cast<napi_typedarray_type>(-1);

}  // namespace

std::string describe(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined: return "undefined";
    case napi_null: return "null";
    case napi_boolean: return value.As<Napi::Boolean>().Value() ? "true" : "false";
    case napi_number: return number_text(value.As<Napi::Number>().DoubleValue());
    case napi_string: return quote(value);
    case napi_symbol: return "a symbol";
    case napi_bigint: return "a bigint";
    case napi_function: return "a function";
    default: break;
  }
  if (value.IsTypedArray()) {
    napi_typedarray_type type = kNoType;
    std::size_t length = 0;
    napi_get_typedarray_info(value.Env(), value, &type, &length, nullptr, nullptr, nullptr);
    return std::string(type_name(type)) + " of length " + std::to_string(length);
  }
  if (value.IsArray()) return "an array of length " + std::to_string(value.As<Napi::Array>().Length());
  return "an object";
}

double number(const Napi::Value& value, std::string_view name) {
  if (!value.IsNumber()) fail(ErrorCode::kOption, name, "a finite number", describe(value));
  const double result = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(result)) fail(ErrorCode::kOption, name, "a finite number", describe(value));
  return result;
}

double number(const Napi::Value& value, std::string_view name, double least) {
  const double result = number(value, name);
  if (result < least) fail(ErrorCode::kOption, name, "a number of at least " + number_text(least), describe(value));
  return result;
}

std::int64_t integer(const Napi::Value& value, std::string_view name, std::int64_t least, std::int64_t most) {
  if (value.IsNumber()) {
    const double result = value.As<Napi::Number>().DoubleValue();
    // Bounds are at most 2^53 in size, so the comparisons and the cast are exact.
    if (result == std::trunc(result) && result >= static_cast<double>(least) && result <= static_cast<double>(most)) {
      return static_cast<std::int64_t>(result);
    }
  }
  fail(ErrorCode::kOption, name, "an integer from " + std::to_string(least) + " to " + std::to_string(most),
       describe(value));
}

bool boolean(const Napi::Value& value, std::string_view name) {
  if (!value.IsBoolean()) fail(ErrorCode::kOption, name, "true or false", describe(value));
  return value.As<Napi::Boolean>().Value();
}

std::string text(const Napi::Value& value, std::string_view name) {
  std::size_t length = 0;
  if (!value.IsString() ||
      napi_get_value_string_utf8(value.Env(), value, nullptr, 0, &length) != napi_ok || length > kLongestText) {
    fail(ErrorCode::kOption, name, "a string of at most " + std::to_string(kLongestText) + " bytes", describe(value));
  }
  return value.As<Napi::String>().Utf8Value();
}

Napi::Function function(const Napi::Value& value, std::string_view name) {
  if (!value.IsFunction()) fail(ErrorCode::kOption, name, "a function", describe(value));
  return value.As<Napi::Function>();
}

Napi::Object object(const Napi::Value& value, std::string_view name) {
  if (value.Type() != napi_object) fail(ErrorCode::kOption, name, "an object", describe(value));
  return value.As<Napi::Object>();
}

Napi::Array array(const Napi::Value& value, std::string_view name, std::uint32_t most) {
  if (!value.IsArray() || value.As<Napi::Array>().Length() > most) {
    fail(ErrorCode::kOption, name, "an array of at most " + std::to_string(most) + " elements", describe(value));
  }
  return value.As<Napi::Array>();
}

std::string_view short_text(const Napi::Value& value, std::array<char, 32>& buffer) noexcept {
  std::size_t length = 0;
  if (napi_get_value_string_utf8(value.Env(), value, buffer.data(), buffer.size(), &length) != napi_ok) return {};
  return {buffer.data(), length};
}

void unknown_word(const Napi::Value& value, std::string_view name, std::span<const std::string_view> words) {
  std::string list = words.size() == 1 ? "" : "one of ";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) list += ", ";
    list += "'" + std::string(words[i]) + "'";
  }
  fail(ErrorCode::kOption, name, list, describe(value));
}

DType dtype(const Napi::Value& value, std::string_view name) {
  static constexpr Word<DType> kWords[] = {{"float32", DType::kFloat32}, {"float64", DType::kFloat64}};
  return word(value, name, kWords);
}

std::vector<std::string> Fields::keys() const {
  napi_value list = nullptr;
  const napi_env env = object_.Env();
  const napi_status status = napi_get_all_property_names(
      env, object_, napi_key_own_only, static_cast<napi_key_filter>(napi_key_enumerable | napi_key_skip_symbols),
      napi_key_numbers_to_strings, &list);
  if (status != napi_ok) throw Napi::Error::New(env);
  const Napi::Array names = Napi::Value(env, list).As<Napi::Array>();
  if (names.Length() > kMostKeys) {
    fail(ErrorCode::kOption, path_, "at most " + std::to_string(kMostKeys) + " properties",
         std::to_string(names.Length()));
  }
  std::vector<std::string> result;
  for (std::uint32_t i = 0; i < names.Length(); ++i) result.push_back(binding::text(names.Get(i), path_));
  return result;
}

Elements elements(const Napi::Value& value, std::string_view name, std::string_view wanted) {
  if (!value.IsTypedArray()) fail(ErrorCode::kDType, name, wanted, describe(value));
  const napi_env env = value.Env();
  napi_typedarray_type type = kNoType;
  std::size_t length = 0;
  void* data = nullptr;
  napi_value buffer = nullptr;
  bool owned = false;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, &buffer, nullptr) != napi_ok ||
      napi_is_arraybuffer(env, buffer, &owned) != napi_ok) {
    throw Napi::Error::New(env);
  }
  if (!owned) fail(ErrorCode::kDType, name, wanted, "one over shared memory; copy it first");
  std::size_t element = 0;
  switch (type) {
    case napi_uint8_array: element = 1; break;
    case napi_float32_array:
    case napi_int32_array:
    case napi_uint32_array: element = 4; break;
    case napi_float64_array: element = 8; break;
    default: fail(ErrorCode::kDType, name, wanted, describe(value));
  }
  return {type, static_cast<std::byte*>(data), length, length * element};
}

void wrong_length(std::string_view name, const char* type, std::int64_t length, std::size_t received) {
  fail(ErrorCode::kShape, name, std::string(type) + " of length " + std::to_string(length),
       "length " + std::to_string(received));
}

Elements floats(const Napi::Value& value, std::string_view name, std::int64_t length) {
  constexpr const char* kWanted = "Float32Array or Float64Array";
  const Elements e = elements(value, name, kWanted);
  if (!e.is_float()) fail(ErrorCode::kDType, name, kWanted, describe(value));
  if (e.length != static_cast<std::size_t>(length)) wrong_length(name, kWanted, length, e.length);
  return e;
}

namespace {

template <class T>
const Napi::FunctionReference& constructor_of(const Environment& environment) noexcept {
  if constexpr (std::is_same_v<T, float>) return environment.float32_array;
  if constexpr (std::is_same_v<T, double>) return environment.float64_array;
  if constexpr (std::is_same_v<T, std::int32_t>) return environment.int32_array;
  if constexpr (std::is_same_v<T, std::uint32_t>) return environment.uint32_array;
}

}  // namespace

// Through the constructor, since N-API's own call ends the process when memory is short.
template <class T>
std::span<T> make_array(Napi::Env env, std::size_t length, Napi::Value& array) {
  try {
    array = constructor_of<T>(Environment::of(env)).New({Napi::Number::New(env, static_cast<double>(length))});
  } catch (const Napi::Error&) {
    fail(ErrorCode::kNative, "memory", "room for a result", std::to_string(length) + " elements");
  }
  return typed<T>(array, "result", static_cast<std::int64_t>(length));
}

template std::span<float> make_array<float>(Napi::Env, std::size_t, Napi::Value&);
template std::span<double> make_array<double>(Napi::Env, std::size_t, Napi::Value&);
template std::span<std::int32_t> make_array<std::int32_t>(Napi::Env, std::size_t, Napi::Value&);
template std::span<std::uint32_t> make_array<std::uint32_t>(Napi::Env, std::size_t, Napi::Value&);

Napi::Array number_array(Napi::Env env, std::span<const double> values) {
  auto result = Napi::Array::New(env, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) result.Set(static_cast<std::uint32_t>(i), values[i]);
  return result;
}

}  // namespace krylov::binding
