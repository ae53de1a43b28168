// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/arrow.hpp>
#include <computelocator/table.hpp>

#include "register.hpp"
#include "tables.hpp"

namespace py = pybind11;

namespace computelocator::bindings {

namespace {

template <class Struct>
void destroy(PyObject* capsule, const char* name) {
  auto* const held = static_cast<Struct*>(PyCapsule_GetPointer(capsule, name));
  if (held == nullptr) {
    PyErr_Clear();
    return;
  }
  if (held->release != nullptr) held->release(held);
  delete held;
}

py::object schema_capsule(const table& of) {
  auto made = std::make_unique<ArrowSchema>();
  export_schema(of, made.get());
  PyObject* const capsule = PyCapsule_New(made.get(), "arrow_schema", [](PyObject* self) { destroy<ArrowSchema>(self, "arrow_schema"); });
  if (capsule == nullptr) {
    made->release(made.get());
    throw py::error_already_set();
  }
  (void)made.release();
  return py::reinterpret_steal<py::object>(capsule);
}

py::object stream_capsule(const std::shared_ptr<const table>& of) {
  auto made = std::make_unique<ArrowArrayStream>();
  export_stream(of, made.get());
  PyObject* const capsule = PyCapsule_New(made.get(), "arrow_array_stream", [](PyObject* self) { destroy<ArrowArrayStream>(self, "arrow_array_stream"); });
  if (capsule == nullptr) {
    made->release(made.get());
    throw py::error_already_set();
  }
  (void)made.release();
  return py::reinterpret_steal<py::object>(capsule);
}

/// Values of one column as a read-only buffer that keeps its table alive.
struct values_buffer {
  std::shared_ptr<const table> kept;
  const void* data = nullptr;
  py::ssize_t size = 0, item = 0;
  std::string format;
};

template <class T>
py::object buffer(const py_table& of, const std::shared_ptr<const std::vector<T>>& values) {
  if (!values) return py::none();
  return py::cast(values_buffer{of.held, values->data(), static_cast<py::ssize_t>(values->size()), sizeof(T),
                                py::format_descriptor<T>::format()});
}

const char* type_name(column_type type) {
  switch (type) {
    case column_type::float64: return "float64";
    case column_type::int64: return "int64";
    case column_type::timestamp_ms: return "timestamp_ms";
    case column_type::timestamp_ns: return "timestamp_ns";
    case column_type::duration_ns: return "duration_ns";
    case column_type::boolean: return "boolean";
    case column_type::category: return "category";
    case column_type::text: break;
  }
  return "text";
}

py::list texts(const std::vector<std::string>& all) {
  py::list made(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    // Label values are checked UTF-8; lines of rejects are whatever came.
    PyObject* const text = PyUnicode_DecodeUTF8(all[i].data(), static_cast<py::ssize_t>(all[i].size()), "backslashreplace");
    if (text == nullptr) throw py::error_already_set();
    PyList_SET_ITEM(made.ptr(), static_cast<py::ssize_t>(i), text);
  }
  return made;
}

py::dict pairs(const metadata& of) {
  py::dict made;
  for (const auto& [key, value] : of) made[py::str(key)] = py::str(value);
  return made;
}

}  // namespace

void register_table(py::module_& module) {
  py::class_<values_buffer>(module, "Values", py::buffer_protocol())
      .def_buffer([](values_buffer& of) {
        return py::buffer_info(const_cast<void*>(of.data), of.item, of.format, 1, {of.size}, {of.item}, true);
      })
      .def("__len__", [](const values_buffer& of) { return of.size; });

  py::class_<py_table>(module, "Table")
      .def_property_readonly("rows", [](const py_table& of) { return of.held->rows; })
      .def_property_readonly("names", [](const py_table& of) {
        py::list names;
        for (const column& each : of.held->columns) names.append(each.name);
        return names;
      })
      .def_property_readonly("metadata", [](const py_table& of) { return pairs(of.held->meta); })
      .def("column", [](const py_table& of, const std::string& name) -> py::tuple {
        const column* const found = of.held->find(name);
        if (found == nullptr) throw py::key_error(name);
        py::object values = py::none(), dictionary = py::none();
        switch (found->type) {
          case column_type::float64: values = buffer(of, found->float64); break;
          case column_type::int64:
          case column_type::timestamp_ms:
          case column_type::timestamp_ns:
          case column_type::duration_ns: values = buffer(of, found->int64); break;
          case column_type::boolean: values = buffer(of, found->boolean); break;
          case column_type::category:
            values = buffer(of, found->codes);
            dictionary = texts(*found->dictionary);
            break;
          case column_type::text: values = texts(*found->text); break;
        }
        return py::make_tuple(type_name(found->type), values, buffer(of, found->valid), dictionary, pairs(found->meta));
      })
      .def("__arrow_c_schema__", [](const py_table& of) { return schema_capsule(*of.held); })
      .def("__arrow_c_stream__", [](const py_table& of, const py::object&) { return stream_capsule(of.held); },
           py::arg("requested_schema") = py::none());
}

}  // namespace computelocator::bindings
