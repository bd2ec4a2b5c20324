//! Which generation of clients a query comes from: nothing in it says so, but some keys only older ones send.

use super::json::Json;

/// Tags of the models of SDK 0.3 to 0.5, whose `$match` searches. No later model has them.
const OLD_TAGS: &str = " rgbd_camera tof_camera stereo_camera laser_scan multi_echolaser_scan lidar radar integer8 integer16 \
    integer32 integer64 unsigned8 unsigned16 unsigned32 unsigned64 floating16 floating32 floating64 boolean string \
    large_string vector_2_d vector_3_d vector_4_d point_2_d point_3_d quaternion transform pose polygon force_torque inertia \
    velocity acceleration motion_state roi camera_info gps_status gps nmea_sentence image compressed_image imu joy \
    magnetometer pressure range robot_joint temperature battery_state frame_transform point_field point_cloud2 ";

/// What `$match` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Since 0.6: a glob over the whole text.
    Glob,
    /// Up to 0.5: found anywhere in the text.
    Search,
}

/// Whether a key, or one in an object below it, is only known to clients up to 0.5.
pub(super) fn is_old(key: &str, value: &Json) -> bool {
    matches!(key, "locator" | "created_timestamp" | "include_timestamp_range")
        || match value {
            Json::Object(members) if key != "user_metadata" => members.iter().any(|(key, value)| is_old(key, value)),
            Json::List(items) => items.iter().any(|item| is_old("", item)),
            _ => false,
        }
}

/// Whether a tag is that of a model that only clients up to 0.5 have.
pub(super) fn is_old_tag(tag: &str) -> bool {
    OLD_TAGS.contains(&format!(" {tag} "))
}
