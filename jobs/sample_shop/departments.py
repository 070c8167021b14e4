"""What the sample shop sells: departments, subcategories, aspects, complements and brand names."""

from dataclasses import dataclass

ASPECTS = (
    "appearance",
    "battery",
    "brightness",
    "capacity",
    "cleaning",
    "comfort",
    "connection",
    "durability",
    "ease_of_use",
    "fit",
    "performance",
    "playability",
    "shipping",
    "sound",
    "value",
)


@dataclass(frozen=True, kw_only=True)
class Subcategory:
    """One shelf of the shop."""

    name: str
    """Name on the shelf, plural."""
    one: str
    """What a single item is called in its title."""
    chinese: str
    """What a Chinese user types to find it."""
    price_cents: int
    """Median price."""
    consumable: bool = False
    """True where people buy the same thing again."""
    complements: tuple[str, ...] = ()
    """Shelves that a buyer of this one visits next."""


@dataclass(frozen=True, kw_only=True)
class Department:
    """A part of the shop whose items are judged by the same aspects."""

    name: str
    plural: bool
    """True where people say `they` rather than `it`."""
    aspects: tuple[str, ...]
    subcategories: tuple[Subcategory, ...]
    features: tuple[str, ...]
    """Sentences for item descriptions."""


def _shelf(
    name: str,
    one: str,
    chinese: str,
    price_cents: int,
    *complements: str,
    consumable: bool = False,
) -> Subcategory:
    return Subcategory(
        name=name,
        one=one,
        chinese=chinese,
        price_cents=price_cents,
        complements=complements,
        consumable=consumable,
    )


DEPARTMENTS = (
    Department(
        name="Musical Instruments",
        plural=False,
        aspects=("sound", "playability", "durability", "appearance", "value", "shipping"),
        subcategories=(
            _shelf(
                "Acoustic Guitars",
                "Acoustic Guitar",
                "民谣吉他",
                19900,
                "Guitar Strings",
                "Guitar Picks",
            ),
            _shelf(
                "Electric Guitars",
                "Electric Guitar",
                "电吉他",
                29900,
                "Guitar Strings",
                "Guitar Picks",
            ),
            _shelf("Ukuleles", "Ukulele", "尤克里里", 6900, "Guitar Picks"),
            _shelf(
                "Guitar Strings",
                "Guitar String Set",
                "吉他弦",
                1200,
                "Guitar Picks",
                consumable=True,
            ),
            _shelf(
                "Guitar Picks",
                "Guitar Pick Set",
                "吉他拨片",
                700,
                "Guitar Strings",
                consumable=True,
            ),
        ),
        features=(
            "For beginners and for players who practise every day.",
            "Checked by hand before it leaves the workshop.",
            "A classic design in a modern finish.",
            "Chosen by music schools for their pupils.",
        ),
    ),
    Department(
        name="Headphones",
        plural=True,
        aspects=("sound", "battery", "comfort", "connection", "durability", "value"),
        subcategories=(
            _shelf("Over-Ear Headphones", "Over-Ear Headphones", "头戴式耳机", 12900),
            _shelf("Wireless Earbuds", "Wireless Earbuds", "无线耳机", 6900),
            _shelf("Sports Headphones", "Sports Headphones", "运动耳机", 4900, "Running Socks"),
            _shelf("Gaming Headphones", "Gaming Headphones", "游戏耳机", 7900, "Desk Lamps"),
        ),
        features=(
            "Pairs with phones, tablets and laptops.",
            "With a soft case and a charging cable.",
            "With two microphones for clear calls.",
            "Folds flat for travel.",
        ),
    ),
    Department(
        name="Kitchen",
        plural=False,
        aspects=("performance", "ease_of_use", "cleaning", "durability", "value", "shipping"),
        subcategories=(
            _shelf("Coffee Makers", "Coffee Maker", "咖啡机", 8900, "Coffee Grinders"),
            _shelf("Coffee Grinders", "Coffee Grinder", "磨豆机", 5900, "Coffee Makers"),
            _shelf("Chef Knives", "Chef Knife", "厨师刀", 4900, "Cutting Boards"),
            _shelf("Frying Pans", "Frying Pan", "平底锅", 3900, "Chef Knives"),
            _shelf("Cutting Boards", "Cutting Board", "砧板", 2400, "Chef Knives"),
        ),
        features=(
            "Made for daily cooking in a small kitchen.",
            "With a printed guide in six languages.",
            "Designed together with home cooks.",
            "Fits into a standard drawer or cupboard.",
        ),
    ),
    Department(
        name="Running",
        plural=True,
        aspects=("comfort", "fit", "durability", "appearance", "value"),
        subcategories=(
            _shelf(
                "Road Running Shoes",
                "Road Running Shoes",
                "公路跑鞋",
                10900,
                "Running Socks",
                "Running Shorts",
            ),
            _shelf(
                "Trail Running Shoes",
                "Trail Running Shoes",
                "越野跑鞋",
                11900,
                "Running Socks",
                "Waist Packs",
            ),
            _shelf("Running Socks", "Running Socks", "跑步袜", 1400, consumable=True),
            _shelf("Running Shorts", "Running Shorts", "跑步短裤", 3200, "Running Socks"),
            _shelf("Running Tights", "Running Tights", "跑步紧身裤", 4500, "Running Shorts"),
        ),
        features=(
            "For short runs and long ones.",
            "With reflective details for dark mornings.",
            "Made from partly recycled yarn.",
            "Dries overnight.",
        ),
    ),
    Department(
        name="Bags and Travel",
        plural=False,
        aspects=("capacity", "comfort", "durability", "appearance", "value"),
        subcategories=(
            _shelf("Daypacks", "Daypack", "双肩包", 5900, "Waist Packs"),
            _shelf(
                "Hiking Backpacks",
                "Hiking Backpack",
                "登山包",
                11900,
                "Trail Running Shoes",
                "Waist Packs",
            ),
            _shelf("Travel Duffels", "Travel Duffel", "旅行包", 6900, "Daypacks"),
            _shelf("Waist Packs", "Waist Pack", "腰包", 2500),
        ),
        features=(
            "With a padded sleeve and two side pockets.",
            "Meets the cabin size of most airlines.",
            "From water-repellent fabric.",
            "With a pocket that is hard to reach for strangers.",
        ),
    ),
    Department(
        name="Lighting",
        plural=False,
        aspects=("brightness", "ease_of_use", "durability", "appearance", "value", "shipping"),
        subcategories=(
            _shelf("Desk Lamps", "Desk Lamp", "台灯", 3900, "Light Bulbs"),
            _shelf("Floor Lamps", "Floor Lamp", "落地灯", 7900, "Light Bulbs"),
            _shelf("String Lights", "String Light", "串灯", 1900),
            _shelf("Light Bulbs", "Light Bulb", "灯泡", 900, consumable=True),
        ),
        features=(
            "For reading corners, desks and bedrooms.",
            "Uses little power.",
            "Warm white by day and by night.",
            "Works with a standard socket.",
        ),
    ),
    Department(
        name="Pet Supplies",
        plural=False,
        aspects=("comfort", "fit", "cleaning", "durability", "value"),
        subcategories=(
            _shelf("Dog Beds", "Dog Bed", "狗窝", 4900, "Pet Blankets"),
            _shelf("Dog Harnesses", "Dog Harness", "狗胸背带", 2600, "Dog Coats"),
            _shelf("Dog Coats", "Dog Coat", "狗衣服", 2900, "Dog Harnesses"),
            _shelf("Cat Beds", "Cat Bed", "猫窝", 3400, "Pet Blankets"),
            _shelf("Pet Blankets", "Pet Blanket", "宠物毯", 1600, consumable=True),
        ),
        features=(
            "In sizes from small to extra large.",
            "With soft edges and no loose parts.",
            "Comes with a spare cover.",
            "Tried out in two animal shelters.",
        ),
    ),
    Department(
        name="Stationery",
        plural=False,
        aspects=("performance", "appearance", "durability", "value", "shipping"),
        subcategories=(
            _shelf("Fountain Pens", "Fountain Pen", "钢笔", 3500, "Ink Bottles", "Notebooks"),
            _shelf("Gel Pens", "Gel Pen Set", "中性笔", 1100, "Notebooks", consumable=True),
            _shelf("Notebooks", "Notebook", "笔记本", 1500, "Gel Pens", consumable=True),
            _shelf("Ink Bottles", "Ink Bottle", "墨水", 1300, "Fountain Pens", consumable=True),
        ),
        features=(
            "For school, office and journals.",
            "In paper packaging without plastic.",
            "Made in small batches.",
            "A gift that gets used.",
        ),
    ),
)

COLOURS = (
    "Black", "Grey", "Navy", "Forest Green", "Sand", "Walnut", "Ivory", "Burgundy", "Sky Blue",
    "Copper",
)  # fmt: skip

BRAND_STEMS = (
    "Alder", "Bramble", "Cinder", "Dapple", "Ember", "Fennel", "Gorse", "Hazel", "Ivel", "Juniper",
    "Kestrel", "Larch", "Marl", "Nettle", "Osier", "Pebble",
)  # fmt: skip
BRAND_ENDINGS = ("wick", "mere", "holt", "stead")
