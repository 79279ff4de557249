//! What a client that was built against the old protocol would miss in the new one.

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

/// Every break, in the order of the old protocol; additions are none.
pub(crate) fn breaks(old: &DescriptorPool, new: &DescriptorPool) -> Vec<String> {
    let mut found = Vec::new();
    for message in old.all_messages() {
        match new.get_message_by_name(message.full_name()) {
            Some(now) => messages(&message, &now, &mut found),
            None => found.push(format!("message {} was removed", message.full_name())),
        }
    }
    for one in old.all_enums() {
        match new.get_enum_by_name(one.full_name()) {
            Some(now) => enums(&one, &now, &mut found),
            None => found.push(format!("enum {} was removed", one.full_name())),
        }
    }
    for service in old.services() {
        match new.get_service_by_name(service.full_name()) {
            Some(now) => services(&service, &now, &mut found),
            None => found.push(format!("service {} was removed", service.full_name())),
        }
    }
    found
}

fn messages(old: &MessageDescriptor, new: &MessageDescriptor, found: &mut Vec<String>) {
    for field in old.fields() {
        let name = field.full_name();
        match new.get_field_by_name(field.name()) {
            None => found.push(format!("field {name} (= {}) was removed", field.number())),
            Some(now) if now.number() != field.number() => {
                found.push(format!("field {name} was renumbered from {} to {}", field.number(), now.number()));
            }
            Some(now) if shape(&now) != shape(&field) => {
                found.push(format!("field {name} changed from {} to {}", shape(&field), shape(&now)));
            }
            Some(_) => {}
        }
    }
}

fn enums(old: &EnumDescriptor, new: &EnumDescriptor, found: &mut Vec<String>) {
    for value in old.values() {
        let kept = new.get_value_by_name(value.name()).is_some_and(|now| now.number() == value.number());
        if !kept {
            let (name, number) = (value.name(), value.number());
            found.push(format!("value {name} (= {number}) of enum {} was removed", old.full_name()));
        }
    }
}

fn services(old: &ServiceDescriptor, new: &ServiceDescriptor, found: &mut Vec<String>) {
    for method in old.methods() {
        match new.methods().find(|now| now.name() == method.name()) {
            None => found.push(format!("method {} was removed", method.full_name())),
            Some(now) if signature(&now) != signature(&method) => found.push(format!(
                "method {} changed from {} to {}",
                method.full_name(),
                signature(&method),
                signature(&now)
            )),
            Some(_) => {}
        }
    }
}

/// Everything of a field that decides how its bytes and its JSON read.
fn shape(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(one) => one.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let oneof = field.containing_oneof().map(|oneof| format!(" in oneof {}", oneof.name())).unwrap_or_default();
    format!("{:?} {kind}{oneof}", field.cardinality())
        .replacen("Optional", "optional", 1)
        .replacen("Repeated", "repeated", 1)
}

fn signature(method: &MethodDescriptor) -> String {
    let stream = |yes| if yes { "stream " } else { "" };
    format!(
        "({}{}) returns ({}{})",
        stream(method.is_client_streaming()),
        method.input().full_name(),
        stream(method.is_server_streaming()),
        method.output().full_name()
    )
}
